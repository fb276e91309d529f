import type { Duplex } from 'node:stream'
import { largeWrites, type HeldWrites } from './large-writes.ts'

/** Pending bytes are written at this size, before the end of the turn, so that the kernel works meanwhile. */
const ENOUGH_BYTES = 64 * 1024

/**
 * Writes to a socket. The first frame of a turn goes out at once, for mostly it is the only one; those that follow in
 * the same turn, as row changes do that were decided together, go out together: each write costs more than its bytes.
 */
export class SocketWriter implements HeldWrites {
  readonly #socket: Duplex
  #lastTurn = -1
  #gathering = false
  /** Bytes that wait for a later turn; 0: none. */
  heldBytes = 0

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  write(frames: Buffer): void {
    const socket = this.#socket
    if (!socket.writable) return
    if (this.heldBytes > 0) this.heldBytes += frames.length
    else if (largeWrites.hold(frames, this)) {
      this.heldBytes = frames.length
      socket.cork()
    }
    const turn = turnNumber()
    if (this.#lastTurn === turn && !this.#gathering) {
      this.#gathering = true
      socket.cork()
      process.nextTick(SocketWriter.#send, this)
    }
    this.#lastTurn = turn
    socket.write(frames)
    if (!this.#gathering || socket.writableLength < ENOUGH_BYTES) return
    socket.uncork()
    socket.cork()
  }

  /** Writes the held frames. To be called in the turn in which they may go out. */
  release(): void {
    this.heldBytes = 0
    this.#socket.uncork()
  }

  static readonly #send = (writer: SocketWriter): void => {
    writer.#gathering = false
    writer.#socket.uncork()
  }
}

let turns = 0
let isCounted = false

/** Counts turns of the event loop, promise callbacks included; one callback serves all sockets. */
function turnNumber(): number {
  if (!isCounted) {
    isCounted = true
    process.nextTick(nextTurn)
  }
  return turns
}

function nextTurn(): void {
  isCounted = false
  turns++
}
