/** How long what waits for a receiver may wait, and how much may. */
export interface BacklogLimits {
  /** So much may wait for a receiver that takes nothing. */
  readonly maxBytes: number
  /** So much may wait for one that keeps taking. */
  readonly maxMovingBytes: number
  /** Over `maxBytes`, something must be taken within this time. */
  readonly maxPauseMs: number
  /** Over `maxBytes`, nothing may wait longer than this. */
  readonly maxWaitMs: number
}

/** What a receiver has taken so far, and what waits for it. */
export interface BacklogReading {
  /** Bytes that were written to it. */
  readonly written: number
  /** Bytes of these that the system has taken. */
  readonly taken: number
  readonly backlog: number
  /** Monotonic milliseconds. */
  readonly now: number
}

/** How often it is noted how far a receiver was written to. */
const MARK_MS = 1_000
/** The longest time that counts between two looks. They come once a second: more is this process, which was not running. */
const MAX_STEP_MS = 1_000

/** What is known of a receiver since its backlog went over `maxBytes`. Times are on `clockMs`. */
interface Over {
  lookedAt: number
  clockMs: number
  taken: number
  movedAt: number
  readonly marks: { readonly written: number; readonly at: number }[]
}

/**
 * Distinguishes a receiver that cannot keep up from one that is about to (rule C5). A frame of 3 MB is a backlog of 3 MB on a socket
 * whose buffers are small; so over `maxBytes` what counts is whether the backlog moves, and how old it is. A receiver
 * holds back no more than it takes in `maxWaitMs`.
 */
export class Backlog {
  readonly #limits: BacklogLimits
  /** `null`: no more waits than may. */
  #over: Over | null = null

  constructor(limits: BacklogLimits) {
    this.#limits = limits
  }

  /** Looks at a receiver after a write, and from time to time. Whether it may stay. */
  allows({ written, taken, backlog, now }: BacklogReading): boolean {
    const { maxBytes, maxMovingBytes, maxPauseMs, maxWaitMs } = this.#limits
    if (backlog <= maxBytes) {
      this.#over = null
      return true
    }
    if (backlog > maxMovingBytes) return false
    const over = (this.#over ??= { lookedAt: now, clockMs: 0, taken, movedAt: 0, marks: [] })
    over.clockMs += Math.min(now - over.lookedAt, MAX_STEP_MS)
    over.lookedAt = now
    const { clockMs, marks } = over
    if (taken > over.taken) {
      over.taken = taken
      over.movedAt = clockMs
    }
    while (marks.length > 0 && marks[0]!.written <= taken) marks.shift()
    if (marks.length === 0 || clockMs - marks.at(-1)!.at >= MARK_MS) marks.push({ written, at: clockMs })
    return clockMs - over.movedAt <= maxPauseMs && clockMs - marks[0]!.at <= maxWaitMs
  }
}
