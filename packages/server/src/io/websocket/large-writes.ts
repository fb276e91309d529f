/** From this size on the cost of a write grows with its bytes: about 0.25 ms a megabyte. */
const LARGE_BYTES = 64 * 1024

/** Bytes of large writes a turn of the event loop; the write that reaches them is the last. */
const TURN_BYTES = 2 * 1024 * 1024

/** Bytes that may be held for later turns; a frame that many receivers share counts once. */
const MAX_HELD_BYTES = 64 * 1024 * 1024

/** A socket whose writes are held. */
export interface HeldWrites {
  readonly heldBytes: number
  release(): void
}

/**
 * Spreads large writes over turns of the event loop: a frame of 3 MB to hundreds of receivers would keep the loop for as long as
 * the system takes to copy it to each. Frames over the bound of memory are written at once.
 */
class LargeWrites {
  #queue: HeldWrites[] = []
  #writtenBytes = 0
  #heldBytes = 0
  #lastHeld: Buffer | null = null
  #isArmed = false

  /** Whether the write has to wait for a later turn; `held` is released then. */
  hold(frames: Buffer, held: HeldWrites): boolean {
    if (frames.length < LARGE_BYTES) return false
    if (!this.#isArmed) {
      this.#isArmed = true
      setImmediate(this.#nextTurn)
    }
    if (this.#writtenBytes < TURN_BYTES) {
      this.#writtenBytes += frames.length
      return false
    }
    const bytes = frames === this.#lastHeld ? 0 : frames.length
    if (this.#heldBytes + bytes > MAX_HELD_BYTES) return false
    this.#heldBytes += bytes
    this.#lastHeld = frames
    this.#queue.push(held)
    return true
  }

  readonly #nextTurn = (): void => {
    this.#isArmed = false
    this.#writtenBytes = 0
    let released = 0
    for (const held of this.#queue) {
      if (this.#writtenBytes >= TURN_BYTES) break
      this.#writtenBytes += held.heldBytes
      held.release()
      released++
    }
    this.#queue = this.#queue.slice(released)
    if (this.#queue.length > 0) {
      this.#isArmed = true
      setImmediate(this.#nextTurn)
      return
    }
    this.#heldBytes = 0
    this.#lastHeld = null
    if (this.#writtenBytes === 0) return
    this.#isArmed = true
    setImmediate(this.#nextTurn)
  }
}

/** One for all sockets of the process, which share its event loop. */
export const largeWrites: LargeWrites = new LargeWrites()
