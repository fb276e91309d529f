import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Transport } from '../../connection/transport.ts'
import { SocketWriter } from './socket-writer.ts'

/** The handle under a socket of Node, which the types of Node leave out. */
interface StreamHandle {
  readonly bytesWritten: number
  readonly writeQueueSize: number
}

/** Frames that are ready go to the socket itself; only close frames are left to `ws`. */
export class SocketTransport implements Transport {
  readonly #webSocket: WebSocket
  readonly #socket: Duplex
  readonly #writer: SocketWriter
  readonly #handle: StreamHandle | null
  #taken = 0

  constructor(webSocket: WebSocket, socket: Duplex) {
    this.#webSocket = webSocket
    this.#socket = socket
    this.#writer = new SocketWriter(socket)
    this.#handle = handleOf(socket)
  }

  write(frames: Buffer): void {
    this.#writer.write(frames)
  }

  /** Bytes that this process holds back do not count against the receiver. */
  backlogBytes(): number {
    return this.#socket.writableLength - this.#writer.heldBytes
  }

  /**
   * A stream of Node says of a write only that it is done, and a write may be a frame of megabytes, or all that waits: to a slow
   * receiver it takes longer than a stall may. What is left of it is known below the stream (Node's own socket time-outs look there).
   */
  takenBytes(): number | null {
    if (this.#handle === null) return null
    // A socket that is gone has no handle, and takes nothing more.
    if (!this.#socket.destroyed) this.#taken = this.#handle.bytesWritten - this.#handle.writeQueueSize
    return this.#taken
  }

  pause(): void {
    this.#webSocket.pause()
  }

  resume(): void {
    this.#webSocket.resume()
  }

  close(code: number, reason: string): void {
    this.#webSocket.close(code, reason)
  }

  terminate(): void {
    this.#webSocket.terminate()
  }

  address(): string | null {
    return (this.#socket as Socket).remoteAddress ?? null
  }
}

function handleOf(socket: Duplex): StreamHandle | null {
  const handle = (socket as { readonly _handle?: unknown })._handle
  if (typeof handle !== 'object' || handle === null) return null
  const { bytesWritten, writeQueueSize } = handle as Partial<StreamHandle>
  return typeof bytesWritten === 'number' && typeof writeQueueSize === 'number' ? (handle as StreamHandle) : null
}
