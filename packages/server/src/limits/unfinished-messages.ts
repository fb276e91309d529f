import type { Runtime } from '../ports.ts'

export interface UnfinishedLimits {
  /** The most bytes of unfinished messages, of all sockets together. */
  readonly maxBytes: number
  /** The most time from the first byte of a message to its last. */
  readonly timeoutMs: number
}

/** Why the rest of a message is no longer waited for. */
export type UnfinishedFault = 'frame-timeout' | 'too-many-unfinished-frames'

/** Memory of a chunk besides its bytes, while it is kept. */
const CHUNK_BYTES = 256

/** A socket whose message may be refused. */
export interface UnfinishedSocket {
  refuse(fault: UnfinishedFault): void
}

/** A message on one socket that has begun and not ended. */
interface Unfinished {
  bytes: number
  readonly since: number
  readonly socket: UnfinishedSocket
}

/**
 * The messages that have begun and not ended, of all sockets: each has a time limit, and together they have a budget of bytes
 * (rule L13). Over the budget, the message that began first is refused: one whose sender keeps sending has ended before that.
 */
export class UnfinishedMessages {
  readonly #limits: UnfinishedLimits
  readonly #runtime: Pick<Runtime, 'uptime'>
  /** The oldest first. */
  readonly #all = new Set<Unfinished>()
  #bytes = 0

  constructor(limits: UnfinishedLimits, runtime: Pick<Runtime, 'uptime'>) {
    this.#limits = limits
    this.#runtime = runtime
  }

  /** Bytes of all of them, the memory of their chunks included. */
  get bytes(): number {
    return this.#bytes
  }

  /** Follows the messages of one socket, which is refused at most once, and must end then. */
  of(socket: UnfinishedSocket): SocketMessages {
    return new SocketMessages(this, socket)
  }

  /** A message of this socket begins. */
  begin(socket: UnfinishedSocket): Unfinished {
    const message = { bytes: 0, since: this.#runtime.uptime(), socket }
    this.#all.add(message)
    return message
  }

  /** Counts more bytes of a message that came. */
  grow(message: Unfinished, bytes: number): void {
    // The message was refused before, and its socket is about to be closed.
    if (!this.#all.has(message)) return
    message.bytes += bytes
    this.#bytes += bytes
    this.#keepWithin()
  }

  forget(message: Unfinished): void {
    if (this.#all.delete(message)) this.#bytes -= message.bytes
  }

  /** Refuses messages that take too long. To be called from time to time. */
  sweep(): void {
    const since = this.#runtime.uptime() - this.#limits.timeoutMs
    for (const message of this.#all) {
      if (message.since >= since) return
      this.#refuse(message, 'frame-timeout')
    }
  }

  #keepWithin(): void {
    for (const message of this.#all) {
      if (this.#bytes <= this.#limits.maxBytes) return
      this.#refuse(message, 'too-many-unfinished-frames')
    }
  }

  #refuse(message: Unfinished, fault: UnfinishedFault): void {
    this.forget(message)
    message.socket.refuse(fault)
  }
}

/** The messages of one socket. */
export class SocketMessages {
  readonly #all: UnfinishedMessages
  readonly #socket: UnfinishedSocket
  #current: Unfinished | null = null

  constructor(all: UnfinishedMessages, socket: UnfinishedSocket) {
    this.#all = all
    this.#socket = socket
  }

  /** A chunk of `chunkBytes` came; after it, `unfinishedBytes` of a message wait for their rest. */
  received(unfinishedBytes: number, chunkBytes: number): void {
    // The unfinished rest lies in this chunk alone, so it is of a message that began in it.
    if (unfinishedBytes <= chunkBytes) this.closed()
    if (unfinishedBytes === 0) return
    this.#current ??= this.#all.begin(this.#socket)
    this.#all.grow(this.#current, Math.min(unfinishedBytes, chunkBytes) + CHUNK_BYTES)
  }

  closed(): void {
    if (this.#current !== null) this.#all.forget(this.#current)
    this.#current = null
  }
}
