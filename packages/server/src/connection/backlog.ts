/** Bounds on the bytes that wait for a receiver, in size and time. */
export interface BacklogLimits {
  /** Bytes that may wait for a receiver that takes nothing. */
  readonly maxBytes: number
  /** Bytes that may wait for a receiver that keeps taking. */
  readonly maxMovingBytes: number
  /** Over `maxBytes`, the receiver must take something within this time. */
  readonly maxPauseMs: number
  /** Over `maxBytes`, no byte may wait longer than this. */
  readonly maxWaitMs: number
}

/** The state of a receiver at one moment. */
export interface BacklogReading {
  /** Bytes that were written to it. */
  readonly written: number
  /** Bytes of these that the system has taken. */
  readonly taken: number
  readonly backlog: number
  /** Monotonic milliseconds. */
  readonly now: number
}

/** A mark of how much was written is kept for each of these spans, to know the age of the oldest byte that waits. */
const MARK_MS = 1_000
/** Readings come at least once a second. A longer gap means that this process did not run, and counts as a second. */
const MAX_STEP_MS = 1_000

/** The history of a receiver since its backlog went over `maxBytes`. Times are on `clockMs`. */
interface Over {
  lookedAt: number
  clockMs: number
  taken: number
  movedAt: number
  readonly marks: { readonly written: number; readonly at: number }[]
}

/**
 * Distinguishes a receiver that cannot keep up from one that catches up (rule C5). A frame of 3 MB is a backlog of 3 MB on a socket
 * whose buffers are small; so over `maxBytes` what counts is whether the backlog moves, and how old it is. A receiver
 * holds back no more than it takes in `maxWaitMs`.
 */
export class Backlog {
  readonly #limits: BacklogLimits
  /** `null` while the backlog is within `maxBytes`. */
  #over: Over | null = null

  constructor(limits: BacklogLimits) {
    this.#limits = limits
  }

  /** Takes a reading, after a write or a sweep. Returns whether the receiver may stay connected. */
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
