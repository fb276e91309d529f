import type { Runtime } from '../ports/runtime.ts'
import { FanOutTimes } from './fan-out-times.ts'

export interface FlushOptions {
  /** How long a flush may wait for more when the loop is busy; 0 turns waiting off. */
  readonly lingerMs: number
}

/** Above this share of time the loop counts as busy, and a short wait saves more than it costs. */
const BUSY = 0.5

/** With this many messages in one write, waiting for more saves little. */
const ENOUGH_MESSAGES = 4

/**
 * Decides when pending messages are written: at the end of a turn of the event loop, or shortly after it when the loop is
 * busy. One scheduler serves the whole server, with one callback a turn.
 */
export class FlushScheduler {
  readonly #runtime: Runtime
  readonly #options: FlushOptions
  readonly fanOutTimes: FanOutTimes
  #flushes: (() => void)[] = []
  #isArmed = false
  #isLingering = false
  #lastFlushAt = 0
  #mostGathered = 0
  /** Counts turns in which messages were sent; two messages with the same number were sent in one turn. */
  turn = 0

  constructor(runtime: Runtime, options: FlushOptions) {
    this.#runtime = runtime
    this.#options = options
    this.fanOutTimes = new FanOutTimes(runtime)
  }

  /** Schedules the end of this turn, once. */
  begin(): void {
    if (this.#isArmed) return
    this.#isArmed = true
    this.#runtime.endOfTurn(this.#endTurn)
  }

  /** Runs `flush` at the end of this turn, or shortly after it. */
  atEnd(flush: () => void): void {
    this.#flushes.push(flush)
    this.begin()
  }

  /** Reports that a write of this many messages is pending. */
  gathered(messages: number): void {
    if (messages > this.#mostGathered) this.#mostGathered = messages
  }

  readonly #endTurn = (): void => {
    this.#isArmed = false
    this.turn++
    if (this.#flushes.length === 0 || this.#isLingering) return
    if (this.#shouldLinger()) {
      this.#isLingering = true
      this.#runtime.setTimer(this.#flush, this.#options.lingerMs)
    } else this.#flush()
  }

  #shouldLinger(): boolean {
    const { lingerMs } = this.#options
    if (this.#mostGathered >= ENOUGH_MESSAGES) return false
    return lingerMs > 0 && this.#runtime.uptime() - this.#lastFlushAt < lingerMs && this.#runtime.loopUtilization() > BUSY
  }

  readonly #flush = (): void => {
    this.#isLingering = false
    const flushes = this.#flushes
    this.#flushes = []
    this.#mostGathered = 0
    for (const flush of flushes) flush()
    this.#lastFlushAt = this.#runtime.uptime()
  }
}
