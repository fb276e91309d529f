import type { GapReason, SystemPayload } from '@tidewire/protocol'
import type { Rejoin } from '../listen/payloads.ts'

/**
 * Finds out whether a rejoin missed something. A Tidewire server gives positions in the stream of Postgres changes; after a rejoin
 * that names the last one it says whether the changes since then could be sent. Every other rejoin may have missed something.
 */
export class Recovery {
  /** The position from which the next join asks for changes. */
  #position: string | null = null
  /** Whether there was a join before, since `subscribe`: the next one is a rejoin. */
  #wasJoined = false
  /** Whether the last join asked for missed changes and awaits the answer. */
  #isAsking = false
  readonly #notify: (rejoin: Rejoin) => void

  constructor(notify: (rejoin: Rejoin) => void) {
    this.#notify = notify
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
    if (this.#wasJoined && !this.#isAsking) this.lost('no-history')
    this.#wasJoined = true
  }

  /** Reads a `system` message about the changes. */
  heard({ status, code, message, live, position, recovered, reason, resync }: SystemPayload): void {
    this.goOnFrom(position)
    if (resync === true) return this.lost(reason)
    // Not an answer: a periodic position, a warning, and the note that the server tries again.
    if (!this.#isAsking || live === true || code === 'database-unavailable' || message === 'Position') return
    if (recovered !== true) return this.lost(status === 'ok' ? reason : 'changes-refused')
    this.#isAsking = false
    this.#notify({ recovered, reason: '' })
  }

  /** Reports that something is missing for good. */
  lost(reason: GapReason = 'unspecified'): void {
    this.#isAsking = false
    this.#notify({ recovered: false, reason })
  }
}
