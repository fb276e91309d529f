import type { GapReason, SystemPayload } from '@tidewire/protocol'
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

  /** What a `system` message about the changes says of it. */
  heard({ status, code, message, live, position, recovered, reason, resync }: SystemPayload): void {
    this.goOnFrom(position)
    if (resync === true) return this.lost(reason)
    // A position that is given from time to time is no answer, nor is a warning, nor that the server tries again.
    if (!this.#isAsking || live === true || code === 'database-unavailable' || message === 'Position') return
    if (recovered !== true) return this.lost(status === 'ok' ? reason : 'changes-refused')
    this.#isAsking = false
    this.#notify({ recovered, reason: '' })
  }

  /** Something is missing for good. */
  lost(reason: GapReason = 'unspecified'): void {
    this.#isAsking = false
    this.#notify({ recovered: false, reason })
  }
}
