import { isUtf8 } from 'node:buffer'
import {
  allElementBytes,
  forwardFault,
  isPlain,
  jsonValue,
  MAX_NESTING,
  memberBytes,
  membersBytes,
  scanSteps,
  textBytes,
  utf8Text,
  type Steps,
} from '@tidewire/protocol'
import type { PublishRequest } from '../../ports.ts'

/** A message of a request. */
export type BroadcastMessage = Omit<PublishRequest, 'identity'>

/** The faults of a request: sentences, by field. */
export type FieldFaults = { readonly [field: string]: readonly string[] }

export type BatchEntries =
  /** The bytes of each message. */
  | { readonly kind: 'entries'; readonly entries: readonly Uint8Array[] }
  | { readonly kind: 'not-json' }
  | { readonly kind: 'invalid'; readonly messages: readonly string[] }

const BLANK = "can't be blank"
const INVALID = 'is invalid'
const TOO_LARGE = 'Payload size exceeds tenant limit'

const SPACE = 0x20
const OPEN_ARRAY = 0x5b
/** The first byte of `null`. */
const LOWER_N = 0x6e
const OPEN_OBJECT = 0x7b

/** Keys and elements of a batch, its payloads included (rule L10). */
export const MAX_BATCH_VALUES = 50_000
const TOO_MANY_VALUES = `hold more than ${MAX_BATCH_VALUES} keys and elements, or nest more than ${MAX_NESTING} levels deep`

/** The media type of a Content-Type header, without parameters; JSON when there is none. */
export function mediaType(contentType: string | undefined): string {
  return contentType?.split(';', 1)[0]!.trim().toLowerCase() || 'application/json'
}

/** The entries of `{ messages: […] }`. As in the reference, a body of another type than JSON holds none. */
export function* batchEntries(type: string, body: Uint8Array): Steps<BatchEntries> {
  if (type !== 'application/json' || body.length === 0) return { kind: 'invalid', messages: [BLANK] }
  const scan = yield* scanSteps(body, { maxDepth: MAX_NESTING, maxValues: MAX_BATCH_VALUES, plain: isPlain(body) })
  yield
  if (!scan.ok && scan.code !== 'malformed-json') return { kind: 'invalid', messages: [TOO_MANY_VALUES] }
  if (!scan.ok || !isUtf8(body)) return { kind: 'not-json' }
  const messages = firstByte(body) === OPEN_OBJECT ? memberBytes(body, 'messages') : undefined
  if (messages === undefined || messages[0] === LOWER_N) return { kind: 'invalid', messages: [BLANK] }
  if (messages[0] !== OPEN_ARRAY) return { kind: 'invalid', messages: [INVALID] }
  yield
  const entries = allElementBytes(messages)
  if (entries.length === 0) return { kind: 'invalid', messages: [BLANK] }
  return entries.every(isObject) ? { kind: 'entries', entries } : { kind: 'invalid', messages: [INVALID] }
}

/** Reads the entries of a batch, one after the other; one that is wrong refuses them all, with the faults of each in order. */
export class BatchReader {
  readonly #maxPayloadBytes: number
  readonly #faults: FieldFaults[] = []
  readonly #messages: BroadcastMessage[] = []

  constructor(maxPayloadBytes: number) {
    this.#maxPayloadBytes = maxPayloadBytes
  }

  read(text: Uint8Array): void {
    const entry = entryOf(text)
    const faults = entryFaults(entry, this.#maxPayloadBytes)
    this.#faults.push(faults)
    // A field that is blank or of another type is a fault; only an id may be left out.
    if (Object.keys(faults).length === 0) this.#messages.push(message(entry))
  }

  get batch():
    | { readonly ok: true; readonly messages: readonly BroadcastMessage[] }
    | { readonly ok: false; readonly faults: readonly FieldFaults[] } {
    const { length } = this.#faults
    return this.#messages.length === length ? { ok: true, messages: this.#messages } : { ok: false, faults: this.#faults }
  }
}

/** The fields of a message. `bytes`: of those that receivers get. */
interface Entry {
  readonly event: unknown
  readonly id: unknown
  readonly private: unknown
  readonly topic: unknown
  readonly persist: unknown
  readonly ttl: unknown
  readonly payload: Uint8Array | undefined
  readonly bytes: number
}

const FIELDS = ['event', 'id', 'payload', 'private', 'topic', 'persist', 'ttl'] as const

function entryOf(text: Uint8Array): Entry {
  const [event, id, payload, isPrivate, topic, persist, ttl] = membersBytes(text, FIELDS)
  return {
    ...{
      event: scalar(event),
      id: scalar(id),
      private: scalar(isPrivate),
      topic: scalar(topic),
      persist: scalar(persist),
      ttl: scalar(ttl),
    },
    payload,
    bytes: (event?.length ?? 0) + (id?.length ?? 0) + (payload?.length ?? 0),
  }
}

/** No field may be an object or a list, so that none is read: to build one costs more than its bytes. */
function scalar(bytes: Uint8Array | undefined): unknown {
  return bytes === undefined || isObject(bytes) || bytes[0] === OPEN_ARRAY ? bytes : jsonValue(utf8Text(bytes))
}

/** Fields in alphabetical order, as the reference answers. */
function entryFaults(entry: Entry, maxPayloadBytes: number): FieldFaults {
  const found: [string, string | null][] = [
    ['event', nameFault(entry.event)],
    ['id', typeof (entry.id ?? '') === 'string' ? null : INVALID],
    ['payload', payloadFault(entry, maxPayloadBytes)],
    ['private', flag(entry.private) === undefined ? INVALID : null],
    ['topic', nameFault(entry.topic)],
  ]
  const faults: Record<string, readonly string[]> = {}
  for (const [field, fault] of found) if (fault !== null) faults[field] = [fault]
  return Object.assign(faults, unsupportedOptions({ persist: entry.persist, ttl: entry.ttl }))
}

/** Fields of the reference that this server does not have. They are refused: a 202 would promise them. */
const UNSUPPORTED = ['persist', 'ttl']

export function unsupportedOptions(given: Readonly<Record<string, unknown>>): FieldFaults {
  const asked = UNSUPPORTED.filter((name) => Object.hasOwn(given, name) && !isOff(given[name]))
  return Object.fromEntries(asked.map((name) => [name, ['is not supported']]))
}

function isOff(value: unknown): boolean {
  return value === undefined || value === null || value === '' || flag(value) === false
}

function message({ id, topic, event, private: isPrivate, payload }: Entry): BroadcastMessage {
  return {
    subTopic: topic as string,
    event: event as string,
    private: flag(isPrivate)!,
    payload: { encoding: 'json', bytes: payload! },
    form: 'text',
    ...((id ?? '') === '' ? {} : { id: id as string }),
  }
}

function nameFault(value: unknown): string | null {
  if (value === undefined || value === null) return BLANK
  if (typeof value !== 'string') return INVALID
  return value.trim() === '' ? BLANK : null
}

/** Names count, too: every receiver gets them, as the payload. */
function payloadFault({ payload, bytes }: Entry, maxPayloadBytes: number): string | null {
  if (payload === undefined || payload[0] === LOWER_N) return BLANK
  if (!isObject(payload)) return INVALID
  return bytes > maxPayloadBytes ? TOO_LARGE : null
}

/** Whether the JSON text of a value is an object, by its first byte. */
function isObject(bytes: Uint8Array): boolean {
  return bytes[0] === OPEN_OBJECT
}

/** `undefined` marks a fault. */
function flag(value: unknown): boolean | undefined {
  if (value === undefined || value === null || value === false || value === 'false' || value === '0') return false
  return value === true || value === 'true' || value === '1' ? true : undefined
}

/** The longest wire topic or event that the receivers' binary frame can carry. */
const MAX_NAME_BYTES = 255

/** The faults of the names of a single broadcast; `wireTopic` is the topic that receivers see. */
export function singleFaults(wireTopic: string, subTopic: string, event: string): FieldFaults {
  const found: [string, string | null][] = [
    ['event', nameFault(event) ?? lengthFault(event)],
    ['topic', nameFault(subTopic) ?? lengthFault(wireTopic)],
  ]
  return Object.fromEntries(found.filter(([, fault]) => fault !== null).map(([field, fault]) => [field, [fault!]]))
}

function lengthFault(name: string): string | null {
  return textBytes(name).length > MAX_NAME_BYTES ? `is over ${MAX_NAME_BYTES} bytes` : null
}

/** The payload of a single broadcast; `null` when it is no JSON. A value that is no object is wrapped in one, as `_json`. */
export function* singlePayload(
  type: 'application/json' | 'application/octet-stream',
  body: Uint8Array,
): Steps<PublishRequest['payload'] | null> {
  if (type === 'application/octet-stream') return { encoding: 'binary', bytes: body }
  if (body.length === 0) return { encoding: 'json', bytes: textBytes('{}') }
  if ((yield* forwardFault(body)) !== null) return null
  return { encoding: 'json', bytes: firstByte(body) === OPEN_OBJECT ? body : Buffer.concat([textBytes('{"_json":'), body, textBytes('}')]) }
}

function firstByte(body: Uint8Array): number | undefined {
  return body.find((byte) => byte > SPACE)
}

export const payloadTooLarge: FieldFaults = { payload: [TOO_LARGE] }
