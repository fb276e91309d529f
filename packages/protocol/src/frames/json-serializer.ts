import { decoded, jsonValue, undecodable, type Decoded, type FrameEnvelope, type Undecodable } from './decode.ts'
import {
  defaultFrameBounds,
  MAX_FRAME_PARTS,
  MAX_NAME_BYTES,
  MAX_NESTING,
  MAX_TOPIC_BYTES,
  valuesBound,
  type FrameBounds,
} from './frame-bounds.ts'
import { scanJson } from './json-scan.ts'
import { elementBytes, memberBytes, membersBytes, partsUnder } from './json-text.ts'
import { isJsonObject, type Message, type Ref } from '../message.ts'
import type { ClientFrame } from './client-frame.ts'
import { allSteps, QUICK_BYTES, scanSteps, utf8Steps, type Steps } from './steps.ts'
import type { Version } from './version.ts'
import { fitsBytes, utf8Text } from '../utf8.ts'

const PAYLOAD_INDEX = 4
/** Pairs are one character to a pattern with `u`. `\p{…}` would say it better, but React Native stumbles over it. */
const LONE_SURROGATE = /[\ud800-\udfff]/u

/**
 * Writes a message as text. Under 1.0.0 an object of four keys, in the order the reference has; clients add `join_ref`.
 * Under 2.0.0 an array of five.
 */
export function encodeTextMessage(version: Version, message: Message, withJoinRef = false): string {
  const { joinRef, ref, topic, event } = message
  // Without a value JSON.stringify would leave the key out, and the frame would be refused.
  const payload = message.payload === undefined ? {} : message.payload
  if (version === '2.0.0') return JSON.stringify([joinRef, ref, topic, event, payload])
  return JSON.stringify(withJoinRef ? { topic, event, payload, ref, join_ref: joinRef } : { ref, event, payload, topic })
}

/**
 * The text before and after the payload in a message without a ref: to all on a topic, or to the channel of
 * `joinRef`. The payload's own bytes go between, so the envelope is built once per topic and the payload never again.
 */
export function envelopeAround(
  version: Version,
  topic: string,
  event: string,
  joinRef: Ref = null,
): { readonly head: string; readonly tail: string } {
  return version === '2.0.0'
    ? { head: `[${JSON.stringify(joinRef)},null,${JSON.stringify(topic)},${JSON.stringify(event)},`, tail: ']' }
    : { head: `{"ref":null,"event":${JSON.stringify(event)},"payload":`, tail: `,"topic":${JSON.stringify(topic)}}` }
}

/** Reads a text message from a server. Extra array elements and extra keys are ignored. */
export function decodeTextMessage(version: Version, text: string): Decoded<Message> {
  return readMessage(version, jsonValue(text))
}

/**
 * Reads a text frame from a client, keeping the payload's own bytes. What is nested too deep is refused (rule L9), and what
 * holds too many values for the event, where the server reads it (rule L10). Payloads that are only forwarded are checked,
 * not parsed, unless they are small.
 */
export function decodeTextFromClient(version: Version, data: Uint8Array, bounds: FrameBounds = defaultFrameBounds): Decoded<ClientFrame> {
  return data.length <= QUICK_BYTES ? decodeQuick(version, data, bounds) : allSteps(textFromClientSteps(version, data, bounds))
}

function decodeQuick(version: Version, data: Uint8Array, bounds: FrameBounds): Decoded<ClientFrame> {
  const text = utf8Text(data)
  if (text === undefined) return undecodable('invalid-utf8', NOT_UTF8)
  const value = jsonValue(text)
  if (hasTooManyParts(value, data.length)) return undecodable('too-many-values', MANY_PARTS)
  const message = readMessage(version, value)
  if (!message.ok) return message
  const { joinRef, ref, topic, event, payload } = message.value
  // No name is longer than the whole.
  const names = data.length <= MAX_NAME_BYTES ? null : namesFault(message.value)
  if (names !== null) return names
  const bytes = Array.isArray(value) ? elementBytes(data, PAYLOAD_INDEX, value.length) : memberBytes(data, 'payload')!
  const maxValues = valuesBound(event, bounds)
  if (maxValues !== null && bytes.length > maxValues * 2) {
    const scan = scanJson(bytes, { maxDepth: MAX_NESTING, maxValues })
    if (!scan.ok) return tooManyValues(maxValues, envelopeOf(message.value))
  }
  // Objects are written out here: copying the rest of one costs as much as the whole of a small frame.
  return decoded({ joinRef, ref, topic, event, payload: { kind: 'json', bytes, value: payload } })
}

/** A member takes at least five bytes. */
function hasTooManyParts(value: unknown, bytes: number): boolean {
  if (Array.isArray(value)) return value.length > MAX_FRAME_PARTS
  return bytes > MAX_FRAME_PARTS * 5 && isJsonObject(value) && Object.keys(value).length > MAX_FRAME_PARTS
}

function envelopeOf({ joinRef, ref, topic, event }: FrameEnvelope): FrameEnvelope {
  return { joinRef, ref, topic, event }
}

/** The same in steps, for a frame that is not small. */
export function* textFromClientSteps(version: Version, data: Uint8Array, bounds: FrameBounds): Steps<Decoded<ClientFrame>> {
  const text = yield* utf8Steps(data)
  if (text === undefined) return undecodable('invalid-utf8', NOT_UTF8)
  const { plain } = text
  const found: number[] = []
  // The frame itself is one level more.
  const scan = yield* scanSteps(data, { maxDepth: MAX_NESTING + 1, maxParts: MAX_FRAME_PARTS, parts: found, plain })
  if (!scan.ok && scan.code === 'malformed-json') return undecodable('malformed-json', NOT_JSON)
  if (!scan.ok && scan.code === 'too-many-parts') return undecodable('too-many-values', MANY_PARTS)
  const parts = version === '2.0.0' ? elementsOf(data, found) : membersOf(data, scan.ok ? found : null)
  if (parts === null) return undecodable('too-deep', TOO_DEEP)
  if (!parts.ok) return parts
  const [joinRefBytes, refBytes, topicBytes, eventBytes, bytes] = parts.value
  // Refused before it is parsed: a name may take up the whole frame.
  if ([joinRefBytes, refBytes, topicBytes, eventBytes].some((name) => name !== undefined && name.length > MAX_ENVELOPE_PART_BYTES))
    return undecodable('name-too-long', LONG_NAME)
  const message = fromParts(nameValue(joinRefBytes) ?? null, nameValue(refBytes), nameValue(topicBytes), nameValue(eventBytes), null)
  if (!message.ok) return message
  const envelope = envelopeOf(message.value)
  const { joinRef, ref, topic, event } = envelope
  const names = namesFault(envelope)
  if (names !== null) return names
  if (!scan.ok) return undecodable('too-deep', TOO_DEEP, envelope)
  const maxValues = valuesBound(event, bounds)
  if (maxValues === null) return decoded({ joinRef, ref, topic, event, payload: { kind: 'json-text', bytes } })
  if (scan.values > maxValues) {
    const inner = yield* scanSteps(bytes, { maxDepth: MAX_NESTING, maxValues, plain })
    if (!inner.ok) return tooManyValues(maxValues, envelope)
  }
  yield
  return decoded({ joinRef, ref, topic, event, payload: { kind: 'json', bytes, value: jsonValue(utf8Text(bytes)) } })
}

type FrameParts = readonly [
  joinRef: Uint8Array | undefined,
  ref: Uint8Array | undefined,
  topic: Uint8Array | undefined,
  event: Uint8Array | undefined,
  payload: Uint8Array,
]

/** `null`: the scan ended before the payload. */
function elementsOf(data: Uint8Array, parts: readonly number[]): Decoded<FrameParts> | null {
  if (firstByte(data) !== OPEN_ARRAY) return undecodable('wrong-shape', NO_ARRAY)
  if (parts.length < PAYLOAD_INDEX * 3 + 2) return parts.length % 3 === 0 ? undecodable('wrong-shape', NO_ARRAY) : null
  const elements = [0, 1, 2, 3, PAYLOAD_INDEX].map((index) => data.subarray(parts[index * 3 + 1], parts[index * 3 + 2]))
  return decoded(elements as unknown as FrameParts)
}

/** `parts` is `null` where the scan ended too early: then the rest is not known to be JSON. */
function membersOf(data: Uint8Array, parts: readonly number[] | null): Decoded<FrameParts> {
  if (firstByte(data) !== OPEN_OBJECT) return undecodable('wrong-shape', NO_OBJECT)
  const members = parts === null ? membersBytes(data, ENVELOPE_KEYS) : partsUnder(data, parts, ENVELOPE_KEYS)
  const [, ref, topic, event, payload] = members
  const missing = Object.entries({ topic, event, payload, ref }).find(([, bytes]) => bytes === undefined)
  return missing === undefined
    ? decoded(members as unknown as FrameParts)
    : undecodable('wrong-shape', `the key "${missing[0]}" is missing`)
}

const ENVELOPE_KEYS = ['join_ref', 'ref', 'topic', 'event', 'payload'] as const

function firstByte(data: Uint8Array): number | undefined {
  return data.find((byte) => byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)
}

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

/** The longest topic, `MAX_TOPIC_BYTES`, with each byte of it written as an escape of six, and quotes. */
const MAX_ENVELOPE_PART_BYTES = 24_578

function nameValue(bytes: Uint8Array | undefined): unknown {
  return bytes === undefined ? undefined : jsonValue(utf8Text(bytes))
}

function namesFault(envelope: FrameEnvelope): Undecodable | null {
  const { joinRef, ref, topic, event } = envelope
  if (!isShortRef(joinRef) || !isShortRef(ref)) return undecodable('name-too-long', LONG_NAME)
  if (fitsBytes(topic, MAX_TOPIC_BYTES) && fitsBytes(event, MAX_NAME_BYTES)) return null
  return undecodable('name-too-long', LONG_NAME, envelopeOf(envelope))
}

function isShortRef(ref: Ref): boolean {
  return typeof ref !== 'string' || fitsBytes(ref, MAX_NAME_BYTES)
}

function tooManyValues(maxValues: number, envelope: FrameEnvelope): Undecodable {
  return undecodable('too-many-values', `the payload holds more than ${maxValues} keys and elements`, envelope)
}

// Literals: bundlers do not drop texts that are put together.
const TOO_DEEP = 'the payload is nested more than 512 levels deep'
const MANY_PARTS = 'the frame itself holds more than 64 keys and elements'
const NOT_UTF8 = 'the text frame is not UTF-8'
const NOT_JSON = 'the frame is not JSON'
const NO_ARRAY = 'expected [join_ref, ref, topic, event, payload]'
const NO_OBJECT = 'expected an object with topic, event, payload and ref'
const LONG_NAME = 'a topic takes at most 4096 bytes, an event and a ref 255'

/** `value` is `undefined` when the frame is not JSON. */
function readMessage(version: Version, value: unknown): Decoded<Message> {
  if (value === undefined) return undecodable('malformed-json', NOT_JSON)
  return version === '2.0.0' ? fromArray(value) : fromObject(value)
}

function fromArray(value: unknown): Decoded<Message> {
  if (!Array.isArray(value) || value.length <= PAYLOAD_INDEX) return undecodable('wrong-shape', NO_ARRAY)
  return fromParts(value[0], value[1], value[2], value[3], value[PAYLOAD_INDEX])
}

function fromObject(value: unknown): Decoded<Message> {
  if (!isJsonObject(value)) return undecodable('wrong-shape', NO_OBJECT)
  for (const key of ['topic', 'event', 'payload', 'ref'] as const)
    if (value[key] === undefined) return undecodable('wrong-shape', `the key "${key}" is missing`)
  return fromParts(value['join_ref'] ?? null, value['ref'], value['topic'], value['event'], value['payload'])
}

function fromParts(joinRef: unknown, ref: unknown, topic: unknown, event: unknown, payload: unknown): Decoded<Message> {
  if (!isName(topic)) return undecodable('wrong-shape', 'topic must be a string of Unicode text')
  if (!isName(event)) return undecodable('wrong-shape', 'event must be a string of Unicode text')
  if (!isRef(joinRef) || !isRef(ref)) return undecodable('wrong-shape', 'refs must be strings, numbers or null')
  return decoded({ joinRef, ref, topic, event, payload })
}

/** A lone surrogate is no text: written as UTF-8 it would become another name (rule M2). */
function isName(value: unknown): value is string {
  return typeof value === 'string' && !LONE_SURROGATE.test(value)
}

function isRef(value: unknown): value is Ref {
  return value === null || typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value))
}
