/**
 * Frames between workers and their primary on the local socket. A frame is the length of the rest (4 bytes), a kind (1 byte) and a body:
 *
 *     1 subscribe    subject
 *     2 unsubscribe  subject
 *     3 message      length of the subject (2 bytes), subject, payload
 *     4 confirm      number (4 bytes); comes back as it was
 *
 * A message is passed on to subscribers as the bytes that came.
 */
const FRAME_KIND = { subscribe: 1, unsubscribe: 2, message: 3, confirm: 4 } as const

export type BrokerFrame =
  | { readonly kind: 'subscribe' | 'unsubscribe'; readonly subject: string }
  /** `whole`: the frame itself, to be passed on. */
  | { readonly kind: 'message'; readonly subject: string; readonly payload: Buffer; readonly whole: Buffer }
  | { readonly kind: 'confirm'; readonly whole: Buffer; readonly number: number }

/** Bytes of a message's payload. The relay sends larger ones in parts. */
export const MAX_PAYLOAD_BYTES = 1_048_576
const HEAD_BYTES = 5
const MAX_SUBJECT_BYTES = 4_096
const MAX_FRAME_BYTES: number = MAX_PAYLOAD_BYTES + MAX_SUBJECT_BYTES + HEAD_BYTES + 2

export function subscribeFrame(kind: 'subscribe' | 'unsubscribe', subject: string): Buffer {
  const bytes = withHead(FRAME_KIND[kind], Buffer.byteLength(subject))
  bytes.write(subject, HEAD_BYTES)
  return bytes
}

/** Copies the payload. */
export function messageFrame(subject: string, payload: Uint8Array): Buffer {
  const subjectBytes = Buffer.byteLength(subject)
  const bytes = withHead(FRAME_KIND.message, 2 + subjectBytes + payload.length)
  bytes.writeUInt16BE(subjectBytes, HEAD_BYTES)
  bytes.write(subject, HEAD_BYTES + 2)
  bytes.set(payload, HEAD_BYTES + 2 + subjectBytes)
  return bytes
}

export function confirmFrame(number: number): Buffer {
  const bytes = withHead(FRAME_KIND.confirm, 4)
  bytes.writeUInt32BE(number, HEAD_BYTES)
  return bytes
}

/** Cuts a stream into frames. Frames share memory with the chunks that came, which must not be changed. */
export class BrokerFrameReader {
  #chunks: Buffer[] = []
  #bytes = 0
  #needed = HEAD_BYTES

  /** `null`: the bytes are no frame, and the stream cannot be read any further. */
  read(chunk: Buffer): readonly BrokerFrame[] | null {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#bytes < this.#needed) return []
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    const frames: BrokerFrame[] = []
    let at = 0
    for (;;) {
      this.#needed = HEAD_BYTES
      if (at + HEAD_BYTES > bytes.length) break
      const size = 4 + bytes.readUInt32BE(at)
      if (size < HEAD_BYTES || size > MAX_FRAME_BYTES) return null
      this.#needed = size
      if (at + size > bytes.length) break
      const frame = frameOf(bytes.subarray(at, at + size))
      if (frame === null) return null
      frames.push(frame)
      at += size
    }
    const rest = bytes.subarray(at)
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#bytes = rest.length
    return frames
  }
}

function frameOf(whole: Buffer): BrokerFrame | null {
  switch (whole[4]) {
    case FRAME_KIND.subscribe:
      return { kind: 'subscribe', subject: whole.toString('utf8', HEAD_BYTES) }
    case FRAME_KIND.unsubscribe:
      return { kind: 'unsubscribe', subject: whole.toString('utf8', HEAD_BYTES) }
    case FRAME_KIND.message: {
      if (whole.length < HEAD_BYTES + 2) return null
      const end = HEAD_BYTES + 2 + whole.readUInt16BE(HEAD_BYTES)
      if (end > whole.length) return null
      return { kind: 'message', subject: whole.toString('utf8', HEAD_BYTES + 2, end), payload: whole.subarray(end), whole }
    }
    case FRAME_KIND.confirm:
      return whole.length === HEAD_BYTES + 4 ? { kind: 'confirm', whole, number: whole.readUInt32BE(HEAD_BYTES) } : null
    default:
      return null
  }
}

function withHead(kind: number, bodyBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + bodyBytes)
  bytes.writeUInt32BE(1 + bodyBytes, 0)
  bytes[4] = kind
  return bytes
}
