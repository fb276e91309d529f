import { SEQUENCE_DIGITS } from './dialect.ts'

/** What the reader finds. */
export interface FrameSink {
  /** A delivered message with its sequence number, and when it was read, in milliseconds. */
  delivered(sequence: number, at: number): void
  /** Any other text frame. */
  text(text: string): void
  /** A close frame. */
  closed(code: number): void
}

const CLOSE = 8
const TEXT = 1

/**
 * Finds frames in the bytes of a server and counts those of one length, the deliveries. Nothing is copied or parsed but
 * the digits of the sequence number, which stand `tailBytes` before the end of the frame.
 */
export class FrameReader {
  readonly #deliveryBytes: number
  readonly #sequenceFromEnd: number
  readonly #sink: FrameSink
  /** The beginning of a frame whose rest has not come. */
  #rest: Buffer | null = null

  constructor(deliveryBytes: number, tailBytes: number, sink: FrameSink) {
    this.#deliveryBytes = deliveryBytes
    this.#sequenceFromEnd = tailBytes + SEQUENCE_DIGITS
    this.#sink = sink
  }

  /** The first `size` bytes of `chunk` came in; `chunk` may be used again afterwards. */
  read(chunk: Buffer, size: number, at: number): void {
    if (this.#rest === null) {
      const end = this.#frames(chunk, size, at)
      if (end < size) this.#rest = Buffer.from(chunk.subarray(end, size))
      return
    }
    const whole = Buffer.concat([this.#rest, chunk.subarray(0, size)])
    const end = this.#frames(whole, whole.length, at)
    this.#rest = end < whole.length ? whole.subarray(end) : null
  }

  #frames(data: Buffer, size: number, readAt: number): number {
    let at = 0
    while (size - at >= 2) {
      let length = data[at + 1]!
      let head = 2
      if (length === 126) {
        if (size - at < 4) break
        length = (data[at + 2]! << 8) | data[at + 3]!
        head = 4
      } else if (length === 127) throw new Error('a frame over 64 KB: no server sends one here')
      const end = at + head + length
      if (end > size) break
      if (length === this.#deliveryBytes) this.#sink.delivered(sequenceAt(data, end - this.#sequenceFromEnd), readAt)
      else this.#other(data[at]! & 15, data.subarray(at + head, end))
      at = end
    }
    return at
  }

  #other(opcode: number, payload: Buffer): void {
    if (opcode === TEXT) this.#sink.text(payload.toString())
    else if (opcode === CLOSE) this.#sink.closed(payload.length >= 2 ? payload.readUInt16BE(0) : 1005)
  }
}

function sequenceAt(data: Buffer, at: number): number {
  let sequence = 0
  for (let i = 0; i < SEQUENCE_DIGITS; i++) sequence = sequence * 10 + (data[at + i]! & 15)
  return sequence
}
