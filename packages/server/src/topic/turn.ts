import type { Runtime } from '../ports.ts'
import { FanOutTimes } from './fan-out-times.ts'

export interface TurnOptions {
  /** How long a flush may wait for more when the loop is busy; 0 turns waiting off. */
  readonly lingerMs: number
}

/** Above this share of time the loop counts as busy, and a short wait saves more than it costs. */
const BUSY = 0.5

/** With this many messages in one write, waiting for more saves little. */
const ENOUGH = 4

/**
 * One turn of the event loop, as the topics see it: everything that arrives within it is written to a subscriber at
 * once, at its end. One callback a turn serves all topics.
 */
export class Turn {
  readonly #runtime: Runtime
  readonly #options: TurnOptions
  readonly fanOutTimes: FanOutTimes
  #waiting: (() => void)[] = []
  #armed = false
  #lingering = false
  #lastFlushAt = 0
  #deepest = 0
  /** Counts turns in which anything was sent; two messages with one number came together. */
  number = 0

  constructor(runtime: Runtime, options: TurnOptions) {
    this.#runtime = runtime
    this.#options = options
    this.fanOutTimes = new FanOutTimes(runtime)
  }

  /** Makes sure that the turn is noticed to end. */
  begin(): void {
    if (this.#armed) return
    this.#armed = true
    this.#runtime.endOfTurn(this.#end)
  }

  /** Runs `flush` at the end of this turn, or shortly after it. */
  atEnd(flush: () => void): void {
    this.#waiting.push(flush)
    this.begin()
  }

  /** A write of this many messages is waiting. */
  gathered(messages: number): void {
    if (messages > this.#deepest) this.#deepest = messages
  }

  readonly #end = (): void => {
    this.#armed = false
    this.number++
    if (this.#waiting.length === 0 || this.#lingering) return
    if (this.#shouldLinger()) {
      this.#lingering = true
      this.#runtime.setTimer(this.#flush, this.#options.lingerMs)
    } else this.#flush()
  }

  #shouldLinger(): boolean {
    const { lingerMs } = this.#options
    if (this.#deepest >= ENOUGH) return false
    return lingerMs > 0 && this.#runtime.uptime() - this.#lastFlushAt < lingerMs && this.#runtime.loopUtilization() > BUSY
  }

  readonly #flush = (): void => {
    this.#lingering = false
    const flushes = this.#waiting
    this.#waiting = []
    this.#deepest = 0
    for (const flush of flushes) flush()
    this.#lastFlushAt = this.#runtime.uptime()
  }
}
