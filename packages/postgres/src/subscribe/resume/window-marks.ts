import type { Lsn } from '../../replication/lsn.ts'

export interface WindowLimits {
  readonly maxAgeMs: number
  readonly maxWalBytes: number
}

interface Mark {
  readonly lsn: Lsn
  readonly atMs: number
}

/** So many marks divide the window. */
const STEPS = 100

/**
 * How far the feed had come, and when. What lies behind the window may be confirmed; a feed without changes confirms no
 * earlier than one with changes, or a node that was cut off for a moment would find the anchor past its position.
 */
export class WindowMarks {
  readonly #limits: WindowLimits
  #marks: Mark[] = []

  constructor(limits: WindowLimits) {
    this.#limits = limits
  }

  restart(): void {
    this.#marks = []
  }

  /** Everything before `lsn` was delivered. */
  note(lsn: Lsn, nowMs: number): void {
    const last = this.#marks.at(-1)
    if (last === undefined || (lsn > last.lsn && nowMs - last.atMs >= this.#limits.maxAgeMs / STEPS)) this.#marks.push({ lsn, atMs: nowMs })
  }

  /** Where the window begins, of a server that has written up to `serverLsn`; `null`: it is not full yet. */
  trim(nowMs: number, serverLsn: Lsn): Lsn | null {
    let begin: Lsn | null = null
    const isBehind = ({ lsn, atMs }: Mark): boolean =>
      nowMs - atMs >= this.#limits.maxAgeMs || serverLsn - lsn > BigInt(Math.trunc(this.#limits.maxWalBytes))
    let count = 0
    while (count < this.#marks.length && isBehind(this.#marks[count]!)) begin = this.#marks[count++]!.lsn
    this.#marks.splice(0, count)
    return begin
  }
}
