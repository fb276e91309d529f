import type { Observer } from './ports.ts'

type OptionalMethod = 'fannedOut' | 'storedFannedOut' | 'authorized' | 'changed' | 'feedLag' | 'nodeEvent'

/** One observer that notifies several, in their order. It has the optional methods that any of them has. */
export function allObservers(observers: readonly Observer[]): Observer {
  return new Observers(observers)
}

/**
 * The same for observers that are attached and detached. Keeps the same function objects, so that attaching an observer does
 * not deoptimise the hot path.
 */
export class Observers implements Observer {
  fannedOut: Observer['fannedOut']
  storedFannedOut: Observer['storedFannedOut']
  authorized: Observer['authorized']
  changed: Observer['changed']
  feedLag: Observer['feedLag']
  nodeEvent: Observer['nodeEvent']
  #observers: readonly Observer[] = []

  constructor(observers: readonly Observer[]) {
    this.set(observers)
  }

  set(observers: readonly Observer[]): void {
    this.#observers = observers
    this.fannedOut = this.#ifAsked('fannedOut', this.#fannedOut)
    this.storedFannedOut = this.#ifAsked('storedFannedOut', this.#storedFannedOut)
    this.authorized = this.#ifAsked('authorized', this.#authorized)
    this.changed = this.#ifAsked('changed', this.#changed)
    this.feedLag = this.#ifAsked('feedLag', this.#feedLag)
    this.nodeEvent = this.#ifAsked('nodeEvent', this.#nodeEvent)
  }

  readonly decision: Observer['decision'] = (decision) => {
    for (const observer of this.#observers) observer.decision(decision)
  }

  readonly connected: Observer['connected'] = (connection) => {
    for (const observer of this.#observers) observer.connected(connection)
  }

  readonly disconnected: Observer['disconnected'] = (connection, code) => {
    for (const observer of this.#observers) observer.disconnected(connection, code)
  }

  readonly joined: Observer['joined'] = (connection, topic, isPrivate) => {
    for (const observer of this.#observers) observer.joined(connection, topic, isPrivate)
  }

  readonly left: Observer['left'] = (connection, topic, isPrivate) => {
    for (const observer of this.#observers) observer.left(connection, topic, isPrivate)
  }

  readonly broadcast: Observer['broadcast'] = (topic, receivers, bytes, message) => {
    for (const observer of this.#observers) observer.broadcast(topic, receivers, bytes, message)
  }

  readonly received: Observer['received'] = (bytes) => {
    for (const observer of this.#observers) observer.received(bytes)
  }

  readonly #fannedOut: Observer['fannedOut'] = (ms) => {
    for (const observer of this.#observers) observer.fannedOut?.(ms)
  }

  readonly #storedFannedOut: Observer['storedFannedOut'] = (ms) => {
    for (const observer of this.#observers) observer.storedFannedOut?.(ms)
  }

  readonly #authorized: Observer['authorized'] = (ms) => {
    for (const observer of this.#observers) observer.authorized?.(ms)
  }

  readonly #changed: Observer['changed'] = (change) => {
    for (const observer of this.#observers) observer.changed?.(change)
  }

  readonly #feedLag: Observer['feedLag'] = (lag) => {
    for (const observer of this.#observers) observer.feedLag?.(lag)
  }

  readonly #nodeEvent: Observer['nodeEvent'] = (event) => {
    for (const observer of this.#observers) observer.nodeEvent?.(event)
  }

  #ifAsked<Notify>(name: OptionalMethod, notify: Notify): Notify | undefined {
    return this.#observers.some((observer) => observer[name] !== undefined) ? notify : undefined
  }
}
