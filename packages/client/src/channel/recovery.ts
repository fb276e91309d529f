import type { Rejoin } from '../listen/payloads.ts'

/**
 * What a rejoin missed. A Tidewire server gives positions in the stream of Postgres changes, and after a rejoin that
 * names the last one it says whether what came after it could still be sent. Every other rejoin may have missed something.
 */
export class Recovery {
  /** Where the changes are to go on after the next join. */
  #position: string | null = null
  /** Whether there was a join before, since `subscribe`: the next one is a rejoin. */
  #wasJoined = false
  /** Whether the last join asked for what was missed, and the answer is out. */
  #isAsking = false
  readonly #tell: (rejoin: Rejoin) => void

  constructor(tell: (rejoin: Rejoin) => void) {
    this.#tell = tell
  }

  /** A new subscription: its first join is no rejoin. */
  restart(): void {
    this.#position = null
    this.#wasJoined = false
  }

  goOnFrom(position: unknown): void {
    if (typeof position === 'string') this.#position = position
  }

  /** A join is sent. Returns the position that it asks to go on from. */
  ask(): string | null {
    this.#isAsking = this.#position !== null
    return this.#position
  }

  joined(): void {
    if (this.#wasJoined && !this.#isAsking) this.lost('the server keeps no history')
    this.#wasJoined = true
  }

  /** The server says what became of the changes; `message` is why they do not flow, or what is missing. */
  answered(recovered: boolean, message: string): void {
    if (!this.#isAsking) return
    this.#isAsking = false
    this.#tell({ recovered, reason: recovered ? '' : message })
  }

  /** Something is missing for good. */
  lost(reason: string): void {
    this.#isAsking = false
    this.#tell({ recovered: false, reason })
  }
}
