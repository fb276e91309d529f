import type { Duplex } from 'node:stream'

/** So much is handed to the system at a time, so that it has something to do meanwhile. */
const ENOUGH_BYTES = 64 * 1024

/**
 * Writes to a socket. The first frame of a turn goes out at once, for mostly it is the only one; those that follow it in
 * the same turn, as row changes do that were decided together, go out together: each write costs more than what it writes.
 */
export class SocketWriter {
  readonly #socket: Duplex
  #lastTurn = -1
  #gathering = false

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  write(frames: Buffer): void {
    const socket = this.#socket
    if (!socket.writable) return
    const turn = turnNumber()
    if (this.#lastTurn === turn && !this.#gathering) {
      this.#gathering = true
      socket.cork()
      process.nextTick(this.#send)
    }
    this.#lastTurn = turn
    socket.write(frames)
    if (!this.#gathering || socket.writableLength < ENOUGH_BYTES) return
    socket.uncork()
    socket.cork()
  }

  readonly #send = (): void => {
    this.#gathering = false
    this.#socket.uncork()
  }
}

let turns = 0
let isCounted = false

/** Counts what runs in one go, promises that follow included; one callback serves all sockets. */
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
