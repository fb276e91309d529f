import { randomBytes } from 'node:crypto'
import { SEQUENCE_DIGITS } from './dialect.ts'

/** A text frame as clients send it: masked. */
export function textFrame(text: string): Buffer {
  return masked(Buffer.from(text), randomBytes(4))
}

/** A frame that differs from message to message in its sequence number only: masked once, then patched. */
export class FrameTemplate {
  readonly #frame: Buffer
  readonly #sequenceAt: number
  readonly #mask: Buffer
  readonly #head: number

  /** `text` ends with the digits of a sequence number and `tailBytes` more. */
  constructor(text: string, tailBytes: number) {
    const payload = Buffer.from(text)
    this.#mask = randomBytes(4)
    this.#head = headBytes(payload.length)
    this.#sequenceAt = payload.length - tailBytes - SEQUENCE_DIGITS
    this.#frame = masked(payload, this.#mask)
  }

  with(sequence: number): Buffer {
    const frame = Buffer.from(this.#frame)
    let rest = sequence
    for (let i = SEQUENCE_DIGITS - 1; i >= 0; i--) {
      const at = this.#sequenceAt + i
      frame[this.#head + at] = (48 + (rest % 10)) ^ this.#mask[at & 3]!
      rest = Math.floor(rest / 10)
    }
    return frame
  }
}

function headBytes(length: number): number {
  return length < 126 ? 6 : 8
}

function masked(payload: Buffer, mask: Buffer): Buffer {
  const head = headBytes(payload.length)
  const frame = Buffer.allocUnsafe(head + payload.length)
  frame[0] = 0x81
  frame[1] = 0x80 | (head === 6 ? payload.length : 126)
  if (head === 8) frame.writeUInt16BE(payload.length, 2)
  mask.copy(frame, head - 4)
  for (let i = 0; i < payload.length; i++) frame[head + i] = payload[i]! ^ mask[i & 3]!
  return frame
}
