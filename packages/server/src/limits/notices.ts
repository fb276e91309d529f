/** A sender gets each kind of fault once in this time; what can be answered on its ref is answered all the same. */
const QUIET_MS = 10_000

/** The faults that a sender got lately, so that it gets each once and not a thousand times (rule X2). */
export class Notices {
  #sentAt: Map<string, number> | null = null

  /** Whether it may be sent, by monotonic milliseconds. Kinds are of a closed list. */
  allows(kind: string, now: number): boolean {
    const last = this.#sentAt?.get(kind)
    if (last !== undefined && now - last < QUIET_MS) return false
    this.#sentAt ??= new Map()
    this.#sentAt.set(kind, now)
    return true
  }
}
