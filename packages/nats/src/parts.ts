import type { Part } from './envelope.ts'

export interface PartsOptions {
  /** The most bytes of one message. Larger ones are given up. */
  readonly maxMessageBytes: number
  /** The most bytes of all unfinished messages. The oldest are given up first. */
  readonly maxPendingBytes: number
  /** How long a message may wait for its next part before it is given up. */
  readonly timeoutMs: number
}

interface Pending {
  readonly key: string
  readonly id: number
  readonly count: number
  readonly slices: Uint8Array[]
  bytes: number
  /** `bytes`, and the memory of the slices besides. */
  heldBytes: number
  at: number
}

/** Memory of a slice besides its bytes. */
const SLICE_BYTES = 512

/** `whole`: the message that the part completed. `lost`: a message of this sender and subject can no longer be completed. */
export interface PartOutcome {
  readonly whole: Uint8Array | null
  readonly lost: boolean
}

/**
 * Joins messages that came in parts. The parts of one sender and subject come in order, without another message of that
 * sender and subject between them, so one message at a time is unfinished; anything else means that a part was lost.
 */
export class Parts {
  readonly #options: PartsOptions
  /** Unfinished messages by sender and subject, the oldest first. */
  readonly #pending = new Map<string, Pending>()
  /** How many messages were given up for lack of room since the last `expire`. */
  #givenUp = 0
  #bytes = 0

  constructor(options: PartsOptions) {
    this.#options = options
  }

  get pendingBytes(): number {
    return this.#bytes
  }

  /** `key` names the sender and the subject. */
  add(key: string, part: Part, nowMs: number): PartOutcome {
    const present = this.#pending.get(key)
    const continues =
      present !== undefined && present.id === part.id && present.count === part.count && present.slices.length === part.index
    if (present !== undefined && !continues) this.#drop(present)
    const lost = present !== undefined && !continues
    if (!continues && part.index !== 0) return { whole: null, lost: true }
    const pending = continues ? present : this.#begin(key, part, nowMs)
    pending.slices.push(part.bytes)
    pending.bytes += part.bytes.length
    pending.at = nowMs
    pending.heldBytes += part.bytes.length + SLICE_BYTES
    this.#bytes += part.bytes.length + SLICE_BYTES
    this.#makeRoom()
    if (pending.bytes > this.#options.maxMessageBytes) {
      this.#drop(pending)
      return { whole: null, lost: true }
    }
    if (pending.slices.length < pending.count) return { whole: null, lost }
    this.#drop(pending)
    return { whole: Buffer.concat(pending.slices), lost }
  }

  /** To be called when a whole message of this sender and subject comes. Returns whether an unfinished one is lost with it. */
  interrupt(key: string): boolean {
    if (this.#pending.size === 0) return false
    const pending = this.#pending.get(key)
    if (pending === undefined) return false
    this.#drop(pending)
    return true
  }

  /** Gives up messages that are too old. Returns how many were given up since the last call. */
  expire(nowMs: number): number {
    let lost = this.#givenUp
    this.#givenUp = 0
    for (const pending of this.#pending.values()) {
      if (nowMs - pending.at < this.#options.timeoutMs) continue
      this.#drop(pending)
      lost++
    }
    return lost
  }

  /** To be called when the link goes down: the missing parts will not come. */
  clear(): void {
    this.#pending.clear()
    this.#givenUp = 0
    this.#bytes = 0
  }

  #makeRoom(): void {
    for (const oldest of this.#pending.values()) {
      if (this.#bytes <= this.#options.maxPendingBytes) return
      this.#drop(oldest)
      this.#givenUp++
    }
  }

  #begin(key: string, { id, count }: Part, at: number): Pending {
    const pending: Pending = { key, id, count, slices: [], bytes: 0, heldBytes: 0, at }
    this.#pending.set(key, pending)
    return pending
  }

  #drop(pending: Pending): void {
    if (this.#pending.get(pending.key) !== pending) return
    this.#pending.delete(pending.key)
    this.#bytes -= pending.heldBytes
  }
}
