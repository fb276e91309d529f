import {
  allElementBytes,
  forwardFault,
  isJsonObject,
  jsonValue,
  MAX_NESTING,
  memberBytes,
  scanJson,
  textBytes,
  utf8Text,
  type JsonObject,
} from '@tidewire/protocol'
import type { PublishRequest } from '../../ports.ts'

/** A message of a request. */
export type BroadcastMessage = Omit<PublishRequest, 'identity'>

/** By field of a request, the sentences about its faults. */
export type FieldFaults = { readonly [field: string]: readonly string[] }

export type BatchEntries =
  | { readonly kind: 'entries'; readonly entries: readonly unknown[]; readonly bytes: Uint8Array }
  | { readonly kind: 'not-json' }
  | { readonly kind: 'invalid'; readonly messages: readonly string[] }

const BLANK = "can't be blank"
const INVALID = 'is invalid'
const TOO_LARGE = 'Payload size exceeds tenant limit'

const SPACE = 0x20
const OPEN_OBJECT = 0x7b

/** Keys and elements of a batch, its payloads included, for it is read as a whole (rule L10). */
export const MAX_BATCH_VALUES = 50_000
const TOO_MANY_VALUES = `hold more than ${MAX_BATCH_VALUES} keys and elements, or nest more than ${MAX_NESTING} levels deep`

/** The media type of a Content-Type header, without parameters; JSON when there is none. */
export function mediaType(contentType: string | undefined): string {
  return contentType?.split(';', 1)[0]!.trim().toLowerCase() || 'application/json'
}

/** The entries of `{ messages: […] }`. As in the reference, a body of another type than JSON holds none. */
export function batchEntries(type: string, body: Uint8Array): BatchEntries {
  if (type !== 'application/json' || body.length === 0) return { kind: 'invalid', messages: [BLANK] }
  const scan = scanJson(body, { maxDepth: MAX_NESTING, maxValues: MAX_BATCH_VALUES })
  if (!scan.ok && scan.code !== 'malformed-json') return { kind: 'invalid', messages: [TOO_MANY_VALUES] }
  const value = jsonValue(utf8Text(body))
  if (value === undefined) return { kind: 'not-json' }
  const messages = isJsonObject(value) && Object.hasOwn(value, 'messages') ? value['messages'] : null
  if (messages === null || (Array.isArray(messages) && messages.length === 0)) return { kind: 'invalid', messages: [BLANK] }
  if (!Array.isArray(messages) || !messages.every(isJsonObject)) return { kind: 'invalid', messages: [INVALID] }
  return { kind: 'entries', entries: messages, bytes: memberBytes(body, 'messages')! }
}

/** Reads every entry of a batch; one that is wrong refuses them all, with the faults of each in order. */
export function batchMessages(
  { entries, bytes }: Extract<BatchEntries, { kind: 'entries' }>,
  maxPayloadBytes: number,
): { readonly ok: true; readonly messages: readonly BroadcastMessage[] } | { readonly ok: false; readonly faults: readonly FieldFaults[] } {
  const texts = allElementBytes(bytes)
  const faults = entries.map((entry, i) => entryFaults(entry as JsonObject, texts[i]!, maxPayloadBytes))
  if (faults.some((fault) => Object.keys(fault).length > 0)) return { ok: false, faults }
  return { ok: true, messages: entries.map((entry, i) => message(entry as JsonObject, texts[i]!)) }
}

/** Fields in alphabetical order, as the reference answers. */
function entryFaults(entry: JsonObject, text: Uint8Array, maxPayloadBytes: number): FieldFaults {
  const found: [string, string | null][] = [
    ['event', nameFault(entry['event'])],
    ['id', typeof (entry['id'] ?? '') === 'string' ? null : INVALID],
    ['payload', payloadFault(entry, text, maxPayloadBytes)],
    ['private', flag(entry['private']) === undefined ? INVALID : null],
    ['topic', nameFault(entry['topic'])],
  ]
  return {
    ...Object.fromEntries(found.filter(([, fault]) => fault !== null).map(([field, fault]) => [field, [fault!]])),
    ...unsupportedOptions(entry),
  }
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

function message(entry: JsonObject, text: Uint8Array): BroadcastMessage {
  const id = (entry['id'] ?? '') as string
  return {
    subTopic: entry['topic'] as string,
    event: entry['event'] as string,
    private: flag(entry['private'])!,
    payload: { encoding: 'json', bytes: memberBytes(text, 'payload')! },
    form: 'text',
    ...(id === '' ? {} : { id }),
  }
}

function nameFault(value: unknown): string | null {
  if (value === undefined || value === null) return BLANK
  if (typeof value !== 'string') return INVALID
  return value.trim() === '' ? BLANK : null
}

/** Names count, too: every receiver gets them, as the payload. */
function payloadFault(entry: JsonObject, text: Uint8Array, maxPayloadBytes: number): string | null {
  const { payload } = entry
  if (payload === undefined || payload === null) return BLANK
  if (!isJsonObject(payload)) return INVALID
  if (text.length <= maxPayloadBytes) return null
  const size = ['event', 'id', 'payload'].reduce((sum, field) => sum + (memberBytes(text, field)?.length ?? 0), 0)
  return size > maxPayloadBytes ? TOO_LARGE : null
}

/** `undefined` marks a fault. */
function flag(value: unknown): boolean | undefined {
  if (value === undefined || value === null || value === false || value === 'false' || value === '0') return false
  return value === true || value === 'true' || value === '1' ? true : undefined
}

/** The longest wire topic or event that the receivers' binary frame can carry. */
const MAX_NAME_BYTES = 255

/** What is wrong with the names of a single broadcast; `wireTopic` is what receivers see. */
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
export function singlePayload(type: 'application/json' | 'application/octet-stream', body: Uint8Array): PublishRequest['payload'] | null {
  if (type === 'application/octet-stream') return { encoding: 'binary', bytes: body }
  if (body.length === 0) return { encoding: 'json', bytes: textBytes('{}') }
  if (forwardFault(body) !== null) return null
  const isObject = body.find((byte) => byte > SPACE) === OPEN_OBJECT
  return { encoding: 'json', bytes: isObject ? body : Buffer.concat([textBytes('{"_json":'), body, textBytes('}')]) }
}

export const payloadTooLarge: FieldFaults = { payload: [TOO_LARGE] }
