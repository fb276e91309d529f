import type { Runtime } from '../ports.ts'
import type { Limits } from './limits.ts'
import { Notices } from './notices.ts'
import { RateCounter } from './rate-counter.ts'

/** How often one socket may do what is limited. Counters are made when the first of their events comes. */
export class ConnectionRates {
  readonly #limits: Limits
  readonly #runtime: Pick<Runtime, 'uptime'>
  readonly #notices = new Notices()
  #events: RateCounter | null = null
  #presenceEvents: RateCounter | null = null
  #joins: RateCounter | null = null

  constructor(limits: Limits, runtime: Pick<Runtime, 'uptime'>) {
    this.#limits = limits
    this.#runtime = runtime
  }

  /** Counts an event. Whether it is within the limit; so for the others. */
  allowEvent(): boolean {
    const now = this.#runtime.uptime()
    this.#events ??= new RateCounter(this.#limits.maxEventsPerSecond, now)
    return !this.#events.add(now)
  }

  allowPresenceEvent(): boolean {
    const now = this.#runtime.uptime()
    this.#presenceEvents ??= new RateCounter(this.#limits.maxPresenceEventsPerSecond, now)
    return !this.#presenceEvents.add(now)
  }

  allowJoin(): boolean {
    const now = this.#runtime.uptime()
    this.#joins ??= new RateCounter(this.#limits.maxJoinsPerSecond, now)
    return !this.#joins.add(now)
  }

  /** Whether the client may be notified of this kind of fault now, without a push to answer. */
  allowNotice(kind: string): boolean {
    return this.#notices.allows(kind, this.#runtime.uptime())
  }
}
