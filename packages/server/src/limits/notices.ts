/** A sender gets one notice a kind of fault in this time. Faults of frames with a ref are always answered. */
const QUIET_MS = 10_000

/** Bounds the notices to one sender: one a kind of fault and time (rule X2). */
export class Notices {
  #sentAt: Map<string, number> | null = null

  /** Whether a notice of this kind may be sent now. `now`: monotonic milliseconds. Kinds are of a closed list, so memory is bounded. */
  allows(kind: string, now: number): boolean {
    const last = this.#sentAt?.get(kind)
    if (last !== undefined && now - last < QUIET_MS) return false
    this.#sentAt ??= new Map()
    this.#sentAt.set(kind, now)
    return true
  }
}
