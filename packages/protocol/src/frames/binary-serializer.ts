import type { UserBroadcast } from '../payloads/broadcast.ts'
import { decoded, jsonValue, undecodable, type Decoded } from './decode.ts'
import { MAX_NAME_BYTES, MAX_NESTING } from './frame-bounds.ts'
import { isJsonObject, type JsonObject, type Message, type Ref } from '../message.ts'
import type { ClientFrame } from './client-frame.ts'
import { allSteps, forwardFault, QUICK_BYTES, quickFault, type ForwardFault, type Steps } from './steps.ts'
import { textBytes, utf8Text } from '../utf8.ts'

// First byte of a binary frame (rule N1). All size fields are one byte, so each name is at most 255 bytes of UTF-8.
const PUSH = 0
const REPLY = 1
const BROADCAST = 2
const USER_BROADCAST_PUSH = 3
const USER_BROADCAST = 4

const METADATA_FAULT = 'the metadata is not JSON'
const PAYLOAD_FAULT = 'the payload is marked as JSON and is not'

/** Reads a binary frame from a client: kind 0 or kind 3. */
export function decodeBinaryFromClient(data: Uint8Array): Decoded<ClientFrame> {
  const frame = readFromClient(data)
  const json = forwardedJson(frame)
  return json === null ? frame : withFault(frame, json.length <= QUICK_BYTES ? quickFault(json) : allSteps(forwardFault(json)))
}

/** As {@link decodeBinaryFromClient}, in steps. */
export function* binaryFromClientSteps(data: Uint8Array): Steps<Decoded<ClientFrame>> {
  const frame = readFromClient(data)
  const json = forwardedJson(frame)
  return json === null ? frame : withFault(frame, yield* forwardFault(json))
}

function readFromClient(data: Uint8Array): Decoded<ClientFrame> {
  switch (data[0]) {
    case undefined:
      return undecodable('empty-frame', 'the binary frame is empty')
    case PUSH: {
      const parts = readNames(data, 5, 4)
      if (!parts.ok) return parts
      const [joinRef, ref, topic, event] = parts.value.names as [string, string, string, string]
      return decoded({ joinRef: refOrNull(joinRef), ref, topic, event, payload: { kind: 'binary', bytes: data.subarray(parts.value.end) } })
    }
    case USER_BROADCAST_PUSH:
      return readUserBroadcastPush(data)
    default:
      return undecodable('unknown-kind', `binary kind ${data[0]} is not one that clients send`)
  }
}

function readUserBroadcastPush(data: Uint8Array): Decoded<ClientFrame> {
  const parts = readNames(data, 7, 5)
  if (!parts.ok) return parts
  const [joinRefText, ref, topic, userEvent, metaText] = parts.value.names as [string, string, string, string, string]
  const joinRef = refOrNull(joinRefText)
  const event = 'broadcast'
  const metadata = readMetadata(metaText)
  if (metadata === undefined) return undecodable('malformed-metadata', METADATA_FAULT, { joinRef, ref, topic, event })
  const broadcast = {
    event: userEvent,
    metadata,
    encoding: data[6] === 0 ? 'binary' : 'json',
    bytes: data.subarray(parts.value.end),
  } as const
  return decoded({ joinRef, ref, topic, event, payload: { kind: 'user-broadcast', broadcast } })
}

/** Receivers under 1.0.0 get the payload spliced into their JSON, so it is known to be JSON before it goes anywhere. */
function forwardedJson(frame: Decoded<ClientFrame>): Uint8Array | null {
  if (!frame.ok || frame.value.payload.kind !== 'user-broadcast') return null
  const { encoding, bytes } = frame.value.payload.broadcast
  return encoding === 'json' ? bytes : null
}

function withFault(frame: Decoded<ClientFrame>, fault: ForwardFault | null): Decoded<ClientFrame> {
  if (!frame.ok || fault === null) return frame
  const { joinRef, ref, topic, event } = frame.value
  const [code, detail] =
    fault === 'too-deep'
      ? ([fault, `the payload is nested more than ${MAX_NESTING} levels deep`] as const)
      : (['malformed-payload', PAYLOAD_FAULT] as const)
  return undecodable(code, detail, { joinRef, ref, topic, event })
}

/** How many names stand in a frame from a server, by its kind. */
const SERVER_NAMES: { readonly [kind: number]: number } = {
  [PUSH]: 3,
  [REPLY]: 4,
  [BROADCAST]: 2,
  [USER_BROADCAST]: 3,
}

/** Reads a binary frame from a server: kinds 0, 1, 2 and 4. A kind 4 becomes the `broadcast` message that text would have been. */
export function decodeBinaryFromServer(data: Uint8Array): Decoded<Message> {
  const kind = data[0]
  if (kind === undefined) return undecodable('empty-frame', 'the binary frame is empty')
  const count = SERVER_NAMES[kind]
  if (count === undefined) return undecodable('unknown-kind', `binary kind ${kind} is not one that servers send`)
  const isUser = kind === USER_BROADCAST
  // The sizes follow the kind; kind 4 says after them how the payload is encoded.
  const parts = readNames(data, 1 + count + Number(isUser), count)
  if (!parts.ok) return parts
  const { names, end } = parts.value as { readonly names: readonly [string, string, string, string]; readonly end: number }
  const [first, second, third, status] = names
  if (kind === BROADCAST) return decoded({ joinRef: null, ref: null, topic: first, event: second, payload: copy(data, end) })
  const joinRef = refOrNull(first)
  if (kind === PUSH) return decoded({ joinRef, ref: null, topic: second, event: third, payload: copy(data, end) })
  if (!isUser) {
    const payload = { status, response: copy(data, end) }
    return decoded({ joinRef, ref: refOrNull(second), topic: third, event: 'phx_reply', payload })
  }
  const meta = readMetadata(third)
  if (meta === undefined) return undecodable('malformed-metadata', METADATA_FAULT)
  const payload = data[4] === 0 ? copy(data, end) : jsonValue(utf8Text(data.subarray(end)))
  if (payload === undefined) return undecodable('malformed-payload', PAYLOAD_FAULT)
  const event = 'broadcast'
  return decoded({ joinRef: null, ref: null, topic: first, event, payload: { type: event, event: second, payload, ...(meta && { meta }) } })
}

/** Writes kind 3. Throws a RangeError that names the field when one is over 255 bytes. */
export function encodeUserBroadcastPush(message: Pick<Message, 'joinRef' | 'ref' | 'topic'>, broadcast: UserBroadcast): Uint8Array {
  return writeFrame(
    USER_BROADCAST_PUSH,
    [
      ['join_ref', refText(message.joinRef)],
      ['ref', refText(message.ref)],
      ['topic', message.topic],
      ['event', broadcast.event],
      ['metadata', metadataText(broadcast)],
    ],
    [broadcast.encoding === 'json' ? 1 : 0],
    broadcast.bytes,
  )
}

/** Writes kind 4. Throws a RangeError that names the field when one is over 255 bytes. */
export function encodeUserBroadcast(topic: string, broadcast: UserBroadcast): Uint8Array {
  return writeFrame(
    USER_BROADCAST,
    [
      ['topic', topic],
      ['event', broadcast.event],
      ['metadata', metadataText(broadcast)],
    ],
    [broadcast.encoding === 'json' ? 1 : 0],
    broadcast.bytes,
  )
}

/**
 * Whether the names of a broadcast fit a kind 4 frame. Topics joined as text and events from HTTP or the database may
 * be longer; such a broadcast goes out as text when it is JSON (rule N5).
 */
export function fitsUserBroadcast(topic: string, broadcast: UserBroadcast): boolean {
  return [topic, broadcast.event, metadataText(broadcast)].every((name) => textBytes(name).length <= MAX_NAME_BYTES)
}

/** Whether a message of bytes fits a kind 2. One that does not has no other form. */
export function fitsBinaryBroadcast(topic: string, event: string): boolean {
  return [topic, event].every((name) => textBytes(name).length <= MAX_NAME_BYTES)
}

/** Writes kind 2: what a kind 0 push with the event `broadcast` is to its receivers. */
export function encodeBinaryBroadcast(topic: string, event: string, bytes: Uint8Array): Uint8Array {
  return writeFrame(
    BROADCAST,
    [
      ['topic', topic],
      ['event', event],
    ],
    [],
    bytes,
  )
}

function writeFrame(kind: number, names: readonly Name[], extra: readonly number[], payload: Uint8Array): Uint8Array {
  const fields = names.map(nameBytes)
  let size = 1 + names.length + extra.length + payload.length
  for (const field of fields) size += field.length
  const frame = new Uint8Array(size)
  frame[0] = kind
  let at = 1
  for (const field of fields) frame[at++] = field.length
  for (const byte of extra) frame[at++] = byte
  for (const field of fields) {
    frame.set(field, at)
    at += field.length
  }
  frame.set(payload, at)
  return frame
}

type Name = readonly [label: string, text: string]

function nameBytes([label, text]: Name): Uint8Array {
  const bytes = asciiBytes(text) ?? textBytes(text)
  if (bytes.length > MAX_NAME_BYTES)
    throw new RangeError(`${label} is ${bytes.length} bytes long; a binary frame takes at most ${MAX_NAME_BYTES}`)
  return bytes
}

/** The bytes of a short ASCII name, four times as fast as a call of the encoder; `undefined` for other names. */
function asciiBytes(text: string): Uint8Array | undefined {
  if (text.length > MAX_NAME_BYTES) return undefined
  const bytes = new Uint8Array(text.length)
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code > 0x7f) return undefined
    bytes[at] = code
  }
  return bytes
}

/** Cuts `count` names out of a frame whose sizes stand from its second byte on and whose first name starts at `header`. */
function readNames(data: Uint8Array, header: number, count: number): Decoded<{ readonly names: readonly string[]; readonly end: number }> {
  let end = header
  for (let index = 1; index <= count; index++) end += data[index] ?? 0
  if (end > data.length) return undecodable('truncated', 'the frame is shorter than its sizes say')
  // One call for all of them: what costs in decoding is the call. Bytes and characters are the same thing in ASCII.
  const together = utf8Text(data.subarray(header, end))
  const ascii = together?.length === end - header
  const names: string[] = []
  let from = header
  for (let index = 1; index <= count; index++) {
    const to = from + data[index]!
    const name = ascii ? together.slice(from - header, to - header) : utf8Text(data.subarray(from, to))
    if (name === undefined) return undecodable('invalid-utf8', 'a name in the frame is not UTF-8')
    names.push(name)
    from = to
  }
  return decoded({ names, end })
}

/** `undefined` marks a fault. JSON other than an object says nothing, and is no fault in the reference either. */
function readMetadata(text: string): JsonObject | null | undefined {
  if (text === '') return null
  const value = jsonValue(text)
  return value === undefined || isJsonObject(value) ? value : null
}

function metadataText(broadcast: UserBroadcast): string {
  return broadcast.metadata === null ? '' : JSON.stringify(broadcast.metadata)
}

function refText(ref: Ref): string {
  return ref === null ? '' : String(ref)
}

/** A missing join_ref has size 0. An empty ref stays a string: its reply carries it (rule N3). */
function refOrNull(text: string): string | null {
  return text === '' ? null : text
}

/** Receivers keep payloads, so they get a buffer of their own, not a window on the frame. */
function copy(data: Uint8Array, from: number): ArrayBuffer {
  // Not `slice`, which in Node's Buffer is a window on a shared pool.
  return new Uint8Array(data.subarray(from)).buffer
}
