import { compareLogPositions, type LogPosition } from '../replication/position.ts'

export interface HeldChange {
  readonly position: LogPosition
  readonly event: string
  readonly payload: Uint8Array
  /** Its position is incomplete, or the gap before it was announced. */
  isAnnounced: boolean
}

/** Changes that wait in a channel for earlier ones. */
export class HeldChanges {
  #held: HeldChange[] = []
  bytes = 0

  get size(): number {
    return this.#held.length
  }

  add(change: HeldChange): void {
    this.#held.push(change)
    this.bytes += change.payload.length
  }

  clear(): void {
    this.#held = []
    this.bytes = 0
  }

  /** `false`: a change before them was withheld just now. `true`: the gap was announced. */
  mark(isAnnounced: boolean): void {
    for (const each of this.#held) each.isAnnounced = isAnnounced
  }

  /** Removes what comes before all these positions, in order. */
  takeBefore(positions: Iterable<LogPosition>): readonly HeldChange[] {
    const held = this.#held.sort((a, b) => compareLogPositions(a.position, b.position))
    let until = held.length
    for (const from of positions) {
      const first = held.findIndex(({ position }) => compareLogPositions(position, from) >= 0)
      if (first >= 0) until = Math.min(until, first)
    }
    this.#held = held.slice(until)
    this.bytes = this.#held.reduce((sum, { payload }) => sum + payload.length, 0)
    return held.slice(0, until)
  }
}
