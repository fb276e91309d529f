export interface Refusal {
  readonly code: 'malformed-tuple' | 'malformed-field'
  readonly what: string
}

/**
 * Reads big-endian fields one after the other. Past the end every read gives zero or nothing and sets `overrun`, so
 * that a decoder may read on and check once. `refused` keeps what the decoder itself finds wrong, for the same check.
 */
export class ByteReader {
  readonly buffer: Buffer
  offset: number
  readonly end: number
  overrun = false
  refused: Refusal | null = null

  constructor(buffer: Buffer, offset = 0, end: number = buffer.length) {
    this.buffer = buffer
    this.offset = offset
    this.end = end
  }

  get remaining(): number {
    return this.end - this.offset
  }

  uint8(): number {
    const at = this.#take(1)
    return at < 0 ? 0 : this.buffer[at]!
  }

  uint16(): number {
    const at = this.#take(2)
    return at < 0 ? 0 : this.buffer.readUInt16BE(at)
  }

  uint32(): number {
    const at = this.#take(4)
    return at < 0 ? 0 : this.buffer.readUInt32BE(at)
  }

  uint64(): bigint {
    const at = this.#take(8)
    return at < 0 ? 0n : this.buffer.readBigUInt64BE(at)
  }

  int64(): bigint {
    const at = this.#take(8)
    return at < 0 ? 0n : this.buffer.readBigInt64BE(at)
  }

  text(): string {
    const zero = this.buffer.indexOf(0, this.offset)
    if (this.overrun || zero < 0 || zero >= this.end) {
      this.overrun = true
      return ''
    }
    const text = this.buffer.toString('utf8', this.offset, zero)
    this.offset = zero + 1
    return text
  }

  /** Marks the message as malformed, unless it was only cut short. */
  refuse(code: Refusal['code'], what: string): void {
    if (!this.overrun) this.refused ??= { code, what }
  }

  skip(size: number): void {
    this.#take(size)
  }

  #take(size: number): number {
    if (this.overrun || size < 0 || size > this.end - this.offset) {
      this.overrun = true
      return -1
    }
    const at = this.offset
    this.offset += size
    return at
  }
}
