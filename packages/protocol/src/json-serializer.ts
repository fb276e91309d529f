import { decoded, jsonValue, undecodable, utf8Text, type Decoded } from './decode.ts'
import { isJsonObject, type Message, type Ref } from './message.ts'
import type { ClientFrame } from './serializer.ts'
import type { Version } from './version.ts'

const encoder = new TextEncoder()

export function textBytes(text: string): Uint8Array {
  return encoder.encode(text)
}

/**
 * Writes a message as text. Under 1.0.0 an object of four keys, in the order the reference has; clients add `join_ref`.
 * Under 2.0.0 an array of five.
 */
export function encodeTextMessage(version: Version, message: Message, withJoinRef = false): string {
  const { joinRef, ref, topic, event, payload } = message
  if (version === '2.0.0') return JSON.stringify([joinRef, ref, topic, event, payload])
  return JSON.stringify(withJoinRef ? { topic, event, payload, ref, join_ref: joinRef } : { ref, event, payload, topic })
}

/**
 * The text before and after the payload in a message to everybody on a topic. The payload's own bytes go between, so
 * the envelope is built once per topic and the payload never again.
 */
export function envelopeAround(version: Version, topic: string, event: string): { readonly head: string; readonly tail: string } {
  return version === '2.0.0'
    ? { head: `[null,null,${JSON.stringify(topic)},${JSON.stringify(event)},`, tail: ']' }
    : { head: `{"ref":null,"event":${JSON.stringify(event)},"payload":`, tail: `,"topic":${JSON.stringify(topic)}}` }
}

/** Reads a text message from a server. Extra array elements and extra keys are ignored. */
export function decodeTextMessage(version: Version, text: string): Decoded<Message> {
  const value = jsonValue(text)
  if (value === undefined) return undecodable('malformed-json', 'the frame is not JSON')
  return version === '2.0.0' ? fromArray(value) : fromObject(value)
}

/** Reads a text frame from a client, keeping the bytes of the payload. */
export function decodeTextFromClient(version: Version, data: Uint8Array): Decoded<ClientFrame> {
  if (version === '2.0.0') {
    const fast = scanArray(data)
    if (fast !== undefined) return decoded(fast)
  }
  const text = utf8Text(data)
  if (text === undefined) return undecodable('invalid-utf8', 'the text frame is not UTF-8')
  const message = decodeTextMessage(version, text)
  if (!message.ok) return message
  const { payload, ...envelope } = message.value
  const bytes = (version === '1.0.0' ? payloadOfObject(data) : undefined) ?? textBytes(JSON.stringify(payload))
  return decoded({ ...envelope, payload: { kind: 'json', bytes, value: payload } })
}

function fromArray(value: unknown): Decoded<Message> {
  if (!Array.isArray(value) || value.length < 5) return undecodable('wrong-shape', 'expected [join_ref, ref, topic, event, payload]')
  const [joinRef, ref, topic, event, payload] = value as unknown[]
  return fromParts(joinRef, ref, topic, event, payload)
}

function fromObject(value: unknown): Decoded<Message> {
  if (!isJsonObject(value)) return undecodable('wrong-shape', 'expected an object with topic, event, payload and ref')
  for (const key of ['topic', 'event', 'payload', 'ref'] as const)
    if (value[key] === undefined) return undecodable('wrong-shape', `the key "${key}" is missing`)
  return fromParts(value['join_ref'] ?? null, value['ref'], value['topic'], value['event'], value['payload'])
}

function fromParts(joinRef: unknown, ref: unknown, topic: unknown, event: unknown, payload: unknown): Decoded<Message> {
  if (typeof topic !== 'string') return undecodable('wrong-shape', 'topic must be a string')
  if (typeof event !== 'string') return undecodable('wrong-shape', 'event must be a string')
  if (!isRef(joinRef) || !isRef(ref)) return undecodable('wrong-shape', 'refs must be strings, numbers or null')
  return decoded({ joinRef, ref, topic, event, payload })
}

function isRef(value: unknown): value is Ref {
  return value === null || typeof value === 'string' || typeof value === 'number'
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN = 0x5b
const CLOSE = 0x5d
const BACKSLASH = 0x5c
const NULL = [0x6e, 0x75, 0x6c, 0x6c] as const

/**
 * The short way for what every client writes, `[ref|null,ref|null,"topic","event",payload]` without spaces or escapes
 * in the head: strings are cut out, the payload's text is parsed once and its bytes are kept. `undefined` sends anything
 * unusual the long way, which also names the fault.
 */
function scanArray(data: Uint8Array): ClientFrame | undefined {
  const end = data.length - 1
  if (data[0] !== OPEN || data[end] !== CLOSE) return undefined
  const strings: (string | null)[] = []
  let at = 1
  for (let i = 0; i < 4; i++) {
    if (data[at] === QUOTE) {
      const close = plainStringEnd(data, at + 1, end)
      if (close < 0) return undefined
      strings.push(asciiText(data, at + 1, close))
      at = close + 1
    } else if (i < 2 && NULL.every((byte, offset) => data[at + offset] === byte)) {
      strings.push(null)
      at += 4
    } else return undefined
    if (data[at] !== COMMA) return undefined
    at++
  }
  const bytes = data.subarray(at, end)
  const value = jsonValue(utf8Text(bytes))
  if (value === undefined) return undefined
  return {
    joinRef: strings[0] ?? null,
    ref: strings[1] ?? null,
    topic: strings[2]!,
    event: strings[3]!,
    payload: { kind: 'json', bytes, value },
  }
}

/** Where a string of printable ASCII without escapes ends, or -1. */
function plainStringEnd(data: Uint8Array, from: number, limit: number): number {
  for (let at = from; at < limit; at++) {
    const byte = data[at]!
    if (byte === QUOTE) return at
    if (byte === BACKSLASH || byte < 0x20 || byte > 0x7e) return -1
  }
  return -1
}

function asciiText(data: Uint8Array, from: number, to: number): string {
  let text = ''
  for (let at = from; at < to; at++) text += String.fromCharCode(data[at]!)
  return text
}

/**
 * The bytes of `payload` in a 1.0.0 object that is known to be valid JSON, so that numbers keep their digits. The last
 * `payload` key counts, as in JSON.parse; `undefined` when a key is written with escapes.
 */
function payloadOfObject(data: Uint8Array): Uint8Array | undefined {
  let found: Uint8Array | undefined
  let at = skipSpace(data, 0) + 1
  for (;;) {
    at = skipSpace(data, at)
    if (data[at] !== QUOTE) return found
    const keyEnd = plainStringEnd(data, at + 1, data.length)
    if (keyEnd < 0) return undefined
    const key = asciiText(data, at + 1, keyEnd)
    const from = skipSpace(data, skipSpace(data, keyEnd + 1) + 1)
    const to = valueEnd(data, from)
    if (key === 'payload') found = data.subarray(from, to)
    at = skipSpace(data, to)
    if (data[at] !== COMMA) return found
    at++
  }
}

function skipSpace(data: Uint8Array, at: number): number {
  while (at < data.length && (data[at] === 0x20 || data[at] === 0x0a || data[at] === 0x0d || data[at] === 0x09)) at++
  return at
}

/** Where the JSON value that starts at `from` ends; the text is known to be valid. */
function valueEnd(data: Uint8Array, from: number): number {
  let depth = 0
  let at = from
  while (at < data.length) {
    const byte = data[at]!
    if (byte === QUOTE) {
      at++
      while (data[at] !== QUOTE) at += data[at] === BACKSLASH ? 2 : 1
    } else if (byte === OPEN || byte === 0x7b) depth++
    else if (byte === CLOSE || byte === 0x7d) {
      if (depth === 0) return at
      depth--
    } else if (depth === 0 && (byte === COMMA || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)) return at
    at++
    if (depth === 0 && (byte === QUOTE || byte === CLOSE || byte === 0x7d)) return at
  }
  return at
}
