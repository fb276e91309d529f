import { decoded, jsonValue, undecodable, utf8Text, type Decoded } from './decode.ts'
import { elementBytes, memberBytes, nestedDeeperThan } from './json-text.ts'
import { isJsonObject, type Message, type Ref } from './message.ts'
import type { ClientFrame } from './client-frame.ts'
import type { Version } from './version.ts'

/** How deep arrays and objects may stand in one another in anything a server reads and writes anew (rule L9). */
export const MAX_NESTING = 512

const PAYLOAD_INDEX = 4
/** Pairs are one character to a pattern with `u`. `\p{…}` would say it better, but React Native stumbles over it. */
const LONE_SURROGATE = /[\ud800-\udfff]/u

let encoder: TextEncoder | undefined

/** A text as UTF-8. */
export function textBytes(text: string): Uint8Array {
  encoder ??= new TextEncoder()
  return encoder.encode(text)
}

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
 * The text before and after the payload in a message without a ref: to everybody on a topic, or to the channel of
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
 * Reads a text frame from a client, keeping the payload's own bytes. Payloads nested too deep are refused (rule L9),
 * those of broadcasts excepted: they are forwarded and never written anew.
 */
export function decodeTextFromClient(version: Version, data: Uint8Array): Decoded<ClientFrame> {
  const text = utf8Text(data)
  if (text === undefined) return undecodable('invalid-utf8', 'the text frame is not UTF-8')
  const value = jsonValue(text)
  const message = readMessage(version, value)
  if (!message.ok) return message
  const { joinRef, ref, topic, event, payload } = message.value
  const bytes = Array.isArray(value) ? elementBytes(data, PAYLOAD_INDEX, value.length) : memberBytes(data, 'payload')!
  if (event !== 'broadcast' && nestedDeeperThan(bytes, MAX_NESTING))
    return undecodable('malformed-payload', `the payload is nested more than ${MAX_NESTING} levels deep`, { joinRef, ref, topic, event })
  return decoded({ joinRef, ref, topic, event, payload: { kind: 'json', bytes, value: payload } })
}

/** `value` is `undefined` when the frame is not JSON. */
function readMessage(version: Version, value: unknown): Decoded<Message> {
  if (value === undefined) return undecodable('malformed-json', 'the frame is not JSON')
  return version === '2.0.0' ? fromArray(value) : fromObject(value)
}

function fromArray(value: unknown): Decoded<Message> {
  if (!Array.isArray(value) || value.length <= PAYLOAD_INDEX)
    return undecodable('wrong-shape', 'expected [join_ref, ref, topic, event, payload]')
  return fromParts(value[0], value[1], value[2], value[3], value[PAYLOAD_INDEX])
}

function fromObject(value: unknown): Decoded<Message> {
  if (!isJsonObject(value)) return undecodable('wrong-shape', 'expected an object with topic, event, payload and ref')
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
