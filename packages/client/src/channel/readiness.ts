import type { RealtimeError, SystemPayload, TimerPort } from '@tidewire/protocol'
import type { Listeners } from '../listen/listeners.ts'
import { changesError } from './refusal.ts'
import { waiter, type Waiter, type Waiting } from './waiter.ts'

/** A channel, as its readiness sees it. */
export interface ReadinessPort {
  readonly topic: string
  readonly host: TimerPort & { warn(text: string): void }
  readonly listeners: Listeners
  readonly kind: string
}

/** Whether a channel is joined and its Postgres changes flow, the promises that wait for that, and what stands in the way. */
export class Readiness {
  /** Whether the Postgres changes flow, if there are any. */
  isLive = false
  /** The last fault, until a join succeeds and its changes flow. */
  error: RealtimeError | null = null
  /** The last fault that the server reported since the join was sent. */
  systemError: SystemPayload | null = null
  readonly #channel: ReadinessPort
  readonly #waiting = new Set<Waiter<void>>()
  #warned = ''

  constructor(channel: ReadinessPort) {
    this.#channel = channel
  }

  get isReady(): boolean {
    return this.#channel.kind === 'joined' && this.isLive
  }

  /** Rejects with a RealtimeError. */
  wait(options: Waiting): Promise<void> {
    const { host, topic } = this.#channel
    const waiting = waiter<void>(host, options, `${topic} was not ready within ${options.timeoutMs} ms.`, () =>
      this.#waiting.delete(waiting),
    )
    if (options.signal?.aborted !== true) this.#waiting.add(waiting)
    return waiting.promise
  }

  /** Settles what waits, where the channel is ready or never will be. */
  settle(error: RealtimeError | null): void {
    if (error === null ? this.isReady : !error.retryable) this.giveUp(error)
  }

  giveUp(error: RealtimeError | null): void {
    for (const waiting of this.#waiting) waiting.settle(error)
  }

  setError(error: RealtimeError | null): void {
    const { error: before } = this
    this.error = error
    if (error !== null || before !== null) this.#channel.listeners.emit('error', '', error)
  }

  /** A `system` message: whether the changes flow, or what is wrong with them or with the channel. */
  heard(system: SystemPayload): void {
    const { status } = system
    const isFault = status === 'error'
    // With `live` it is a warning about some of the changes; the others come as before.
    const isWarning = system.live === true
    if (isFault && !isWarning) this.systemError = system
    if (system.extension !== 'postgres_changes') return
    const error = isFault && system.resync !== true ? changesError(system) : null
    if (!isWarning) {
      this.isLive = status === 'ok'
      this.settle(error)
    }
    if (error !== null || system.message !== 'Position') this.setError(error)
    if (error !== null && this.#channel.listeners.of('system').length === 0) this.warnOnce(`${error.hint ?? error.message} (${error.code})`)
  }

  /** Warns of a refusal that no retry can fix and that no listener is notified of. */
  warnUnheard(error: RealtimeError | null, listeners: number): void {
    const isHeard = listeners + this.#waiting.size + this.#channel.listeners.of('error').length > 0
    if (error !== null && !error.retryable && !isHeard) this.warnOnce(`${error.message} (${error.code})`)
  }

  /** For faults that a program is likely to overlook. */
  warnOnce(text: string): void {
    const { host, topic } = this.#channel
    if (text !== this.#warned) host.warn(`${topic}: ${(this.#warned = text)}`)
  }
}
