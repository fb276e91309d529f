import type { Socket } from 'node:net'

/** Buffers up to this size in all are copied into one: cheaper than handing many small ones to the kernel. */
const COPIED_BYTES = 65_536

/** Joins all writes to a socket in one turn of the event loop into one. */
export class JoinedWrites {
  readonly #socket: Socket
  #frames: Buffer[] = []
  #bytes = 0

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Bytes that wait here or in the socket. */
  get pendingBytes(): number {
    return this.#bytes + this.#socket.writableLength
  }

  write(frame: Buffer): void {
    this.#frames.push(frame)
    this.#bytes += frame.length
    if (this.#frames.length === 1) setImmediate(this.flush)
  }

  readonly flush = (): void => {
    const frames = this.#frames
    if (frames.length === 0) return
    const bytes = this.#bytes
    this.#frames = []
    this.#bytes = 0
    if (this.#socket.destroyed) return
    if (frames.length === 1) this.#socket.write(frames[0]!)
    else if (bytes <= COPIED_BYTES) this.#socket.write(Buffer.concat(frames, bytes))
    else {
      this.#socket.cork()
      for (const frame of frames) this.#socket.write(frame)
      this.#socket.uncork()
    }
  }
}
