import { MessageChannel, type MessagePort } from 'node:worker_threads'

/**
 * The chunks of a message that is not finished, as `ws` keeps them, so that their memory can be given back at once. Garbage
 * collection comes much later: a flood of unfinished messages, each cut off in time, would fill a multiple of their budget.
 */
export class UnfinishedChunks {
  #chunks: Buffer[] = []

  /** Keeps a chunk that is part of the message and of nothing else. */
  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
  }

  /** The message has ended, and its chunks belong to its reader. */
  clear(): void {
    if (this.#chunks.length > 0) this.#chunks = []
  }

  /** Frees the memory. The chunks must not be read any more: they are empty afterwards. */
  free(): void {
    const whole = this.#chunks.filter(({ buffer, byteLength }) => buffer.byteLength === byteLength)
    this.#chunks = []
    if (whole.length > 0)
      nowhere.postMessage(
        null,
        whole.map(({ buffer }) => buffer as ArrayBuffer),
      )
  }
}

/** A port whose other end is closed: buffers that are transferred to it are freed at once. */
const nowhere = closedPort()

function closedPort(): MessagePort {
  const { port1, port2 } = new MessageChannel()
  port2.close()
  return port1
}
