/**
 * The content of one broker message. A fixed head names the format, its version and the sender; payload bytes follow as they came.
 *
 *     0  'T' 'W'          2  version       3  kind: 1 batch, 2 part, 3 node message, 4 beat
 *     4  sender, 9 bytes  13 body; of a batch: its number, the number before it on the topic (6 bytes each), messages
 *
 * Decoding checks every length. It returns a fault for what it cannot read, and never throws.
 */
import { isUtf8 } from 'node:buffer'
import { isJsonObject, type JsonObject } from '@tidewire/protocol'
import type { NodeChannel, RelayMessage } from '@tidewire/server'

const ENVELOPE_VERSION = 1
const HEAD_BYTES = 13
/** The head of a batch: its number and the one before it, 6 bytes each. */
export const BATCH_HEAD_BYTES: number = HEAD_BYTES + 12

/** A node's heartbeat, every second. Beats and batches are numbered in one count of their sender, so that a receiver notices missing ones. */
export interface Beat {
  readonly number: number
  /** The number of the beat before, 0 for the first. `null`: an answer to one node, which says only how far the count is. */
  readonly previous: number | null
  /** The topics with batches since the beat before: the key of each, and the number of the last. */
  readonly sent: readonly (readonly [key: string, number: number])[]
  readonly state: 'up' | 'leaving' | 'closing'
  readonly name: string
  readonly version: string
  readonly startedAt: number
  /** Over how much time a node that leaves closes its clients. Beats of a node that knows no such field come with 0. */
  readonly spreadMs: number
}

export interface BatchNumbers {
  readonly number: number
  /** The number of the batch before it on its topic, 0 if there was none since the sender's last beat. */
  readonly previous: number
}

export interface Part {
  /** Distinguishes the messages of one sender and subject. */
  readonly id: number
  readonly index: number
  readonly count: number
  readonly bytes: Uint8Array
}

export type Envelope =
  | { readonly kind: 'batch'; readonly from: string; readonly numbers: BatchNumbers; readonly messages: readonly RelayMessage[] }
  /** A slice of an encoded envelope of another kind. */
  | { readonly kind: 'part'; readonly from: string; readonly part: Part }
  | { readonly kind: 'node'; readonly from: string; readonly channel: NodeChannel; readonly bytes: Uint8Array }
  | { readonly kind: 'beat'; readonly from: string; readonly beat: Beat }

export type EnvelopeFault = { readonly code: 'malformed' | 'version'; readonly detail: string }

export type DecodedEnvelope = { readonly ok: true; readonly value: Envelope } | { readonly ok: false; readonly fault: EnvelopeFault }

const KIND = { batch: 1, part: 2, node: 3, beat: 4 } as const
const CHANNELS: readonly NodeChannel[] = ['presence', 'admin']
const MESSAGE_HEAD_BYTES = 11
const MAX_NAME = 255
/** A message's first byte: its kind, and for `user` how its payload is encoded and whether it is always sent as text. */
const TEXT = 0
const USER = 1
const OPAQUE = 2
const BINARY_BIT = 4
const AS_TEXT_BIT = 8
/** The length that marks metadata of `null`. */
const NO_METADATA = 0xffffffff
const PART_HEAD_BYTES: number = HEAD_BYTES + 8

/** Bytes that a message adds to a batch. */
export function encodedSize(message: RelayMessage): number {
  return sizeOf(fieldsOf(message))
}

function sizeOf({ event, metadata, payload }: Fields): number {
  return MESSAGE_HEAD_BYTES + Buffer.byteLength(event) + (metadata === null ? 0 : Buffer.byteLength(metadata)) + payload.length
}

/** Copies: the bytes of the messages may be reused afterwards. */
export function encodeBatch(from: string, { number, previous }: BatchNumbers, messages: readonly RelayMessage[]): Buffer {
  const all = messages.map(fieldsOf)
  const size = all.reduce((sum, fields) => sum + sizeOf(fields), BATCH_HEAD_BYTES)
  const bytes = withHead(KIND.batch, from, size)
  bytes.writeUIntBE(number, HEAD_BYTES, 6)
  bytes.writeUIntBE(previous, HEAD_BYTES + 6, 6)
  let at = BATCH_HEAD_BYTES
  for (const { type, event, metadata, payload } of all) {
    bytes[at] = type
    const eventBytes = bytes.write(event, at + MESSAGE_HEAD_BYTES)
    bytes.writeUInt16BE(eventBytes, at + 1)
    const metadataBytes = metadata === null ? 0 : bytes.write(metadata, at + MESSAGE_HEAD_BYTES + eventBytes)
    bytes.writeUInt32BE(metadata === null ? NO_METADATA : metadataBytes, at + 3)
    bytes.writeUInt32BE(payload.length, at + 7)
    at += MESSAGE_HEAD_BYTES + eventBytes + metadataBytes
    bytes.set(payload, at)
    at += payload.length
  }
  return bytes
}

/** Slices an encoded envelope so that each part with its head has at most `maxBytes`. */
export function encodeParts(from: string, id: number, whole: Uint8Array, maxBytes: number): Buffer[] {
  const sliceBytes = Math.max(1, maxBytes - PART_HEAD_BYTES)
  const count = Math.ceil(whole.length / sliceBytes)
  return Array.from({ length: count }, (_, index) => {
    const slice = whole.subarray(index * sliceBytes, (index + 1) * sliceBytes)
    const bytes = withHead(KIND.part, from, PART_HEAD_BYTES + slice.length)
    bytes.writeUInt32BE(id, HEAD_BYTES)
    bytes.writeUInt16BE(index, HEAD_BYTES + 4)
    bytes.writeUInt16BE(count, HEAD_BYTES + 6)
    bytes.set(slice, PART_HEAD_BYTES)
    return bytes
  })
}

export function encodeNodeMessage(from: string, channel: NodeChannel, payload: Uint8Array): Buffer {
  const bytes = withHead(KIND.node, from, HEAD_BYTES + 1 + payload.length)
  bytes[HEAD_BYTES] = CHANNELS.indexOf(channel)
  bytes.set(payload, HEAD_BYTES + 1)
  return bytes
}

export function encodeBeat(from: string, beat: Beat): Buffer {
  const body = Buffer.from(JSON.stringify(beat))
  const bytes = withHead(KIND.beat, from, HEAD_BYTES + body.length)
  bytes.set(body, HEAD_BYTES)
  return bytes
}

export function decodeEnvelope(given: Uint8Array): DecodedEnvelope {
  const bytes = given instanceof Buffer ? given : Buffer.from(given.buffer, given.byteOffset, given.byteLength)
  if (bytes.length < HEAD_BYTES || bytes[0] !== 0x54 || bytes[1] !== 0x57) return malformed('it does not begin like an envelope')
  if (bytes[2] !== ENVELOPE_VERSION)
    return { ok: false, fault: { code: 'version', detail: `it has version ${bytes[2]}, this node reads ${ENVELOPE_VERSION}` } }
  const from = senderOf(bytes)
  switch (bytes[3]) {
    case KIND.batch:
      return decodeBatch(from, bytes)
    case KIND.part:
      return decodePart(from, bytes)
    case KIND.node: {
      const channel = CHANNELS[bytes[HEAD_BYTES] ?? CHANNELS.length]
      if (channel === undefined) return malformed('it names no known channel')
      return { ok: true, value: { kind: 'node', from, channel, bytes: bytes.subarray(HEAD_BYTES + 1) } }
    }
    case KIND.beat:
      return decodeBeat(from, bytes)
    default:
      return malformed(`there is no kind ${bytes[3]}`)
  }
}

/** The sender of the envelope before: many in a row are of one, and making its text is a fifth of the work on a small envelope. */
let lastSender = { first: -1, second: -1, third: -1, text: '' }

function senderOf(bytes: Buffer): string {
  const [first, second, third] = [bytes.readInt32LE(4), bytes.readInt32LE(8), bytes[12]!]
  if (first !== lastSender.first || second !== lastSender.second || third !== lastSender.third)
    lastSender = { first, second, third, text: bytes.toString('base64url', 4, HEAD_BYTES) }
  return lastSender.text
}

function decodeBatch(from: string, bytes: Buffer): DecodedEnvelope {
  if (bytes.length <= BATCH_HEAD_BYTES) return malformed('a batch is empty')
  const numbers = { number: bytes.readUIntBE(HEAD_BYTES, 6), previous: bytes.readUIntBE(HEAD_BYTES + 6, 6) }
  if (numbers.previous >= numbers.number) return malformed('a batch has an impossible number')
  const messages: RelayMessage[] = []
  for (let at = BATCH_HEAD_BYTES; at < bytes.length;) {
    if (at + MESSAGE_HEAD_BYTES > bytes.length) return malformed('a message is cut off')
    const type = bytes[at]!
    const eventEnd = at + MESSAGE_HEAD_BYTES + bytes.readUInt16BE(at + 1)
    const metadataBytes = bytes.readUInt32BE(at + 3)
    const metadataEnd = eventEnd + (metadataBytes === NO_METADATA ? 0 : metadataBytes)
    const end = metadataEnd + bytes.readUInt32BE(at + 7)
    if (end > bytes.length) return malformed('a message is cut off')
    const event = textOf(bytes, at + MESSAGE_HEAD_BYTES, eventEnd)
    if (event === null) return malformed('an event is not UTF-8')
    const metadata = metadataBytes === NO_METADATA ? null : objectOf(bytes, eventEnd, metadataEnd)
    if (metadata === undefined) return malformed('metadata is no JSON object')
    const message = messageOf(type, event, metadata, bytes.subarray(metadataEnd, end))
    if (message === null) return malformed(`there is no message type ${type}`)
    messages.push(message)
    at = end
  }
  return { ok: true, value: { kind: 'batch', from, numbers, messages } }
}

function decodePart(from: string, bytes: Buffer): DecodedEnvelope {
  if (bytes.length <= PART_HEAD_BYTES) return malformed('a part is cut off')
  const index = bytes.readUInt16BE(HEAD_BYTES + 4)
  const count = bytes.readUInt16BE(HEAD_BYTES + 6)
  if (index >= count) return malformed('a part has an impossible number')
  const part = { id: bytes.readUInt32BE(HEAD_BYTES), index, count, bytes: bytes.subarray(PART_HEAD_BYTES) }
  return { ok: true, value: { kind: 'part', from, part } }
}

function decodeBeat(from: string, bytes: Buffer): DecodedEnvelope {
  const value = objectOf(bytes, HEAD_BYTES, bytes.length)
  if (value === undefined) return malformed('a beat is no JSON object')
  const { number, previous, sent, state, name, version, startedAt, spreadMs = 0 } = value
  if (!isCount(number) || typeof startedAt !== 'number') return malformed('a beat lacks its number')
  if (previous !== null && !(isCount(previous) && previous < number)) return malformed('a beat has an impossible number')
  if (!isSent(sent)) return malformed('a beat does not say what was sent')
  if (state !== 'up' && state !== 'leaving' && state !== 'closing') return malformed('a beat lacks its state')
  if (typeof name !== 'string' || typeof version !== 'string') return malformed('a beat lacks its name')
  if (!isCount(spreadMs)) return malformed('a beat has an impossible spread')
  const beat: Beat = { number, previous, sent, state, name: shortened(name), version: shortened(version), startedAt, spreadMs }
  return { ok: true, value: { kind: 'beat', from, beat } }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isSent(value: unknown): value is Beat['sent'] {
  return (
    Array.isArray(value) &&
    value.every((each) => Array.isArray(each) && each.length === 2 && typeof each[0] === 'string' && isCount(each[1]))
  )
}

function messageOf(type: number, event: string, metadata: JsonObject | null, bytes: Uint8Array): RelayMessage | null {
  if (type === TEXT) return { kind: 'text', event, payload: bytes }
  if (type === OPAQUE) return { kind: 'opaque', event, bytes }
  if ((type & ~(BINARY_BIT | AS_TEXT_BIT)) !== USER) return null
  const broadcast = { event, metadata, encoding: (type & BINARY_BIT) === 0 ? ('json' as const) : ('binary' as const), bytes }
  return (type & AS_TEXT_BIT) === 0 ? { kind: 'user', broadcast } : { kind: 'user', broadcast, asText: true }
}

interface Fields {
  readonly type: number
  readonly event: string
  readonly metadata: string | null
  readonly payload: Uint8Array
}

function fieldsOf(message: RelayMessage): Fields {
  switch (message.kind) {
    case 'text':
      return { type: TEXT, event: message.event, metadata: null, payload: message.payload }
    case 'user': {
      const { event, metadata, encoding, bytes } = message.broadcast
      const type = USER | (encoding === 'json' ? 0 : BINARY_BIT) | (message.asText === true ? AS_TEXT_BIT : 0)
      return { type, event, metadata: metadata === null ? null : JSON.stringify(metadata), payload: bytes }
    }
    case 'opaque':
      return { type: OPAQUE, event: message.event, metadata: null, payload: message.bytes }
  }
}

function withHead(kind: number, from: string, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = 0x54
  bytes[1] = 0x57
  bytes[2] = ENVELOPE_VERSION
  bytes[3] = kind
  bytes.write(from, 4, 9, 'base64url')
  return bytes
}

/** Bounds a name: it is logged and shown. */
function shortened(name: string): string {
  return name.slice(0, MAX_NAME)
}

/** `null`: the bytes are not UTF-8, which leaves at least one replacement character. */
function textOf(bytes: Buffer, from: number, to: number): string | null {
  const text = bytes.toString('utf8', from, to)
  return !text.includes('\ufffd') || isUtf8(bytes.subarray(from, to)) ? text : null
}

function objectOf(bytes: Buffer, from: number, to: number): JsonObject | undefined {
  const text = textOf(bytes, from, to)
  if (text === null) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function malformed(detail: string): DecodedEnvelope {
  return { ok: false, fault: { code: 'malformed', detail } }
}
