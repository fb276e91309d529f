import { write } from 'node:fs'

/** Writes bytes from an offset on. Calls `done` with the number that was taken, or the error. */
export type WriteBytes = (bytes: Uint8Array, from: number, done: (error: NodeJS.ErrnoException | null, written: number) => void) => void

/** The most that waits for a slow reader; more lines are dropped. */
const MAX_PENDING_CHARACTERS = 1_048_576

const RETRY_MS = 10

/**
 * Writes lines without waiting for their reader. A stuck reader costs a bounded buffer, a closed pipe or a full
 * disk costs the lines; neither stops the process, as the ready-made writers may.
 */
export class LineWriter {
  readonly #write: WriteBytes
  #pending: string[] = []
  #pendingCharacters = 0
  #writing = false
  #flushed: (() => void)[] = []

  constructor(writeBytes: WriteBytes) {
    this.#write = writeBytes
  }

  write(line: string): void {
    if (this.#pendingCharacters + line.length > MAX_PENDING_CHARACTERS) return
    this.#pending.push(line)
    this.#pendingCharacters += line.length
    if (!this.#writing) this.#next()
  }

  /** Resolves when everything is written, or after a while: a stuck reader does not keep the process from stopping. */
  async flush(timeoutMs: number): Promise<void> {
    if (!this.#writing) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#flushed.push(resolve)
      timer = setTimeout(resolve, timeoutMs)
    })
    clearTimeout(timer)
  }

  #next(): void {
    this.#writing = this.#pending.length > 0
    if (!this.#writing) {
      for (const flushed of this.#flushed.splice(0)) flushed()
      return
    }
    const bytes = Buffer.from(this.#pending.join(''))
    this.#pending = []
    this.#pendingCharacters = 0
    this.#writeFrom(bytes, 0)
  }

  #writeFrom(bytes: Uint8Array, from: number): void {
    this.#write(bytes, from, (error, written) => {
      if (error?.code === 'EAGAIN') return void setTimeout(() => this.#writeFrom(bytes, from), RETRY_MS).unref()
      if (error === null && from + written < bytes.length) this.#writeFrom(bytes, from + written)
      else this.#next()
    })
  }
}

/** Lines to a file descriptor. */
export function lineWriterTo(descriptor: number): LineWriter {
  return new LineWriter((bytes, from, done) => write(descriptor, bytes, from, done))
}
