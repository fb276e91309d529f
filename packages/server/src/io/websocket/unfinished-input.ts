import type { Duplex } from 'node:stream'
import type { SocketMessages, UnfinishedFault, UnfinishedMessages } from '../../limits/unfinished-messages.ts'
import { MessageProgress } from './message-progress.ts'
import { UnfinishedChunks } from './unfinished-chunks.ts'

/** The connection that the messages are for. */
interface UnfinishedOwner {
  refuseUnfinished(fault: UnfinishedFault): void
  awaitRoom(): void
}

/** Counts the bytes of a message while it comes: `ws` keeps it until it is whole, and reports nothing before. */
export class UnfinishedInput {
  readonly #socket: Duplex
  readonly #connection: UnfinishedOwner
  readonly #messages: SocketMessages
  readonly #progress = new MessageProgress()
  readonly #chunks = new UnfinishedChunks()

  constructor(socket: Duplex, connection: UnfinishedOwner, unfinished: UnfinishedMessages) {
    this.#socket = socket
    this.#connection = connection
    this.#messages = unfinished.of(this)
  }

  /** A chunk comes, and goes to `ws` next. */
  received(chunk: Buffer): void {
    this.#progress.read(chunk)
    const { unfinishedBytes } = this.#progress
    if (unfinishedBytes <= chunk.length) this.#chunks.clear()
    else this.#chunks.add(chunk)
    this.#messages.received(unfinishedBytes, chunk.length)
    // Small messages end with the next chunk.
    if (unfinishedBytes > chunk.length) this.#connection.awaitRoom()
  }

  refuse(fault: UnfinishedFault): void {
    this.#connection.refuseUnfinished(fault)
    // `ws` may still be given the chunk that this comes from; after that it reads nothing more of a socket that is destroyed.
    process.nextTick(() => this.#free())
  }

  closed(): void {
    this.#messages.closed()
    this.#free()
  }

  #free(): void {
    if (this.#socket.destroyed && this.#socket.readableLength === 0) this.#chunks.free()
  }
}
