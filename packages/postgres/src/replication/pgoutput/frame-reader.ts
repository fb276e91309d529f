/**
 * One message of the Postgres protocol: `buffer[start..end)` is what follows its type and length. False stops the
 * reading after it.
 */
export type FrameHandler = (type: number, buffer: Buffer, start: number, end: number) => boolean

const HEADER_BYTES = 5

/**
 * Cuts a byte stream into protocol messages. Messages that lie whole in a chunk are not copied; one that spans chunks is
 * put together once, whatever its size.
 *
 * `read` hands out messages until there is no whole one left or the handler says stop; what is left waits for the next
 * `read`.
 */
export class FrameReader {
  #chunks: Buffer[] = []
  #size = 0
  #offset = 0

  push(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.#chunks.push(chunk)
    this.#size += chunk.length
  }

  get pendingBytes(): number {
    return this.#size - this.#offset
  }

  /** `malformed`: the stream is no Postgres protocol. */
  read(handle: FrameHandler): 'drained' | 'stopped' | 'malformed' {
    while (this.pendingBytes >= HEADER_BYTES) {
      const length = this.#peekLength()
      if (length < 4) return 'malformed'
      if (this.pendingBytes < length + 1) break
      const buffer = this.#contiguous(length + 1)
      const start = this.#offset
      this.#offset += length + 1
      this.#dropRead()
      if (!handle(buffer[start]!, buffer, start + HEADER_BYTES, start + length + 1)) return 'stopped'
    }
    return 'drained'
  }

  #peekLength(): number {
    const first = this.#chunks[0]!
    if (first.length - this.#offset >= HEADER_BYTES) return first.readUInt32BE(this.#offset + 1)
    return this.#contiguous(HEADER_BYTES).readUInt32BE(this.#offset + 1)
  }

  /** A buffer in which the next `size` bytes stand at `#offset`. */
  #contiguous(size: number): Buffer {
    const first = this.#chunks[0]!
    if (first.length - this.#offset >= size) return first
    const joined = Buffer.allocUnsafe(size)
    for (let filled = 0; filled < size;) {
      const chunk = this.#chunks[0]!
      const taken = chunk.copy(joined, filled, this.#offset)
      filled += taken
      this.#offset += taken
      this.#dropRead()
    }
    if (this.#offset > 0) {
      this.#chunks[0] = this.#chunks[0]!.subarray(this.#offset)
      this.#size -= this.#offset
      this.#offset = 0
    }
    this.#chunks.unshift(joined)
    this.#size += size
    return joined
  }

  #dropRead(): void {
    const first = this.#chunks[0]!
    if (this.#offset < first.length) return
    this.#chunks.shift()
    this.#size -= first.length
    this.#offset -= first.length
  }
}
