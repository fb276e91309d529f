import type { Observer } from './ports.ts'

/** One observer that tells several, in their order. It measures what any of them asks for; of none, it is told everything and does nothing. */
export function allObservers(observers: readonly Observer[]): Observer {
  return new Observers(observers)
}

/**
 * The same where they come and go. What it tells with stays the same all the while: a server that somebody begins to
 * watch would otherwise be slow until its hot path is compiled anew.
 */
export class Observers implements Observer {
  fannedOut: Observer['fannedOut']
  storedFannedOut: Observer['storedFannedOut']
  authorized: Observer['authorized']
  changed: Observer['changed']
  feedLag: Observer['feedLag']
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

  #ifAsked<Tell>(name: 'fannedOut' | 'storedFannedOut' | 'authorized' | 'changed' | 'feedLag', tell: Tell): Tell | undefined {
    return this.#observers.some((observer) => observer[name] !== undefined) ? tell : undefined
  }
}
