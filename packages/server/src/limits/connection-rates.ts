import type { Runtime } from '../ports.ts'
import type { Limits } from './limits.ts'
import { Notices } from './notices.ts'
import { RateCounter } from './rate-counter.ts'

/** A client with many channels sends some of these for each, all at once. */
const MIN_IDLE_FRAMES_PER_SECOND = 100

/** The rate limits of one socket. A counter is made with the first event that it counts. */
export class ConnectionRates {
  readonly #limits: Limits
  readonly #runtime: Pick<Runtime, 'uptime'>
  #events: RateCounter | null = null
  #presenceEvents: RateCounter | null = null
  #joins: RateCounter | null = null
  #idleFrames: RateCounter | null = null
  #notices: Notices | null = null

  constructor(limits: Limits, runtime: Pick<Runtime, 'uptime'>) {
    this.#limits = limits
    this.#runtime = runtime
  }

  /** Counts a broadcast, or a frame that cannot be read. Returns whether it is within the limit. */
  allowEvent(): boolean {
    const now = this.#runtime.uptime()
    this.#events ??= new RateCounter(this.#limits.maxEventsPerSecond, now)
    return !this.#events.add(now)
  }

  /** Counts a presence message. Returns whether it is within the limit. */
  allowPresenceEvent(): boolean {
    const now = this.#runtime.uptime()
    this.#presenceEvents ??= new RateCounter(this.#limits.maxPresenceEventsPerSecond, now)
    return !this.#presenceEvents.add(now)
  }

  /** Counts a join, or a token that has to be checked like one. Returns whether it is within the limit. */
  allowJoin(): boolean {
    const now = this.#runtime.uptime()
    this.#joins ??= new RateCounter(this.#limits.maxJoinsPerSecond, now)
    return !this.#joins.add(now)
  }

  /** Counts a frame that is for no channel, or does nothing there (rule L15). Returns whether it is within the limit. */
  allowIdleFrame(): boolean {
    const now = this.#runtime.uptime()
    this.#idleFrames ??= new RateCounter(Math.max(MIN_IDLE_FRAMES_PER_SECOND, this.#limits.maxEventsPerSecond), now)
    return !this.#idleFrames.add(now)
  }

  /** Whether the client may now get a `system` message about this kind of fault; for faults of frames that have no ref to answer. */
  allowNotice(kind: string): boolean {
    this.#notices ??= new Notices()
    return this.#notices.allows(kind, this.#runtime.uptime())
  }
}
