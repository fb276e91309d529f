import type { Duplex } from 'node:stream'
import type { SocketMessages, UnfinishedFault, UnfinishedMessages } from '../../limits/unfinished-messages.ts'
import { MessageProgress } from './message-progress.ts'
import { UnfinishedChunks } from './unfinished-chunks.ts'

/** Counts the bytes of a message while it comes: `ws` keeps it until it is whole, and reports nothing before. */
export class UnfinishedInput {
  readonly #socket: Duplex
  readonly #connection: { refuseUnfinished(fault: UnfinishedFault): void }
  readonly #messages: SocketMessages
  readonly #progress = new MessageProgress()
  readonly #chunks = new UnfinishedChunks()

  constructor(socket: Duplex, connection: { refuseUnfinished(fault: UnfinishedFault): void }, unfinished: UnfinishedMessages) {
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
