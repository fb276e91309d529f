import { binaryFromClientSteps, decodeBinaryFromClient, decodeBinaryFromServer, encodeUserBroadcastPush } from './binary-serializer.ts'
import { undecodable, type Decoded } from './decode.ts'
import { defaultFrameBounds, MAX_NAME_BYTES, type FrameBounds } from './frame-bounds.ts'
import { decodeTextFromClient, decodeTextMessage, encodeTextMessage, textFromClientSteps } from './json-serializer.ts'
import type { ClientFrame } from './client-frame.ts'
import { isJsonObject, type JsonObject, type Message } from '../message.ts'
import { traceparentOf, type UserBroadcast } from '../payloads/broadcast.ts'
import type { Steps } from './steps.ts'
import type { Version } from './version.ts'
import { fitsBytes, textBytes } from '../utf8.ts'

/** Reads what a client sent. A text frame comes as bytes that are known to be UTF-8. */
export function decodeClientFrame(
  version: Version,
  data: Uint8Array,
  binary: boolean,
  bounds: FrameBounds = defaultFrameBounds,
): Decoded<ClientFrame> {
  if (!binary) return decodeTextFromClient(version, data, bounds)
  return version === '1.0.0' ? noBinary() : decodeBinaryFromClient(data)
}

/** The same in steps of a few milliseconds at most, for a large frame. */
export function* decodeClientFrameSteps(
  version: Version,
  data: Uint8Array,
  binary: boolean,
  bounds: FrameBounds = defaultFrameBounds,
): Steps<Decoded<ClientFrame>> {
  if (!binary) return yield* textFromClientSteps(version, data, bounds)
  return version === '1.0.0' ? noBinary() : yield* binaryFromClientSteps(data)
}

function noBinary(): Decoded<ClientFrame> {
  return undecodable('binary-not-supported', 'binary frames need vsn=2.0.0')
}

/** Reads what a server sent: a text frame as a string, a binary one as bytes. */
export function decodeServerFrame(version: Version, data: string | Uint8Array): Decoded<Message> {
  return typeof data === 'string' ? decodeTextMessage(version, data) : decodeBinaryFromServer(data)
}

/**
 * Writes what a client sends. Under 2.0.0 a broadcast becomes a binary frame: its payload bytes go as they are when it
 * is an `ArrayBuffer` or a view, as JSON otherwise; a payload that is not there becomes `{}`. Throws what
 * `JSON.stringify` throws. JSON whose topic or event is over 255 bytes goes as text (rule N5); bytes with such names throw a
 * RangeError (rule N4).
 */
export function encodeClientMessage(version: Version, message: Message): string | Uint8Array {
  const { payload } = message
  if (version === '1.0.0' || message.event !== 'broadcast' || !isJsonObject(payload) || typeof payload['event'] !== 'string')
    return encodeTextMessage(version, message, true)
  const content = userPayload(payload['payload'])
  if (content.encoding === 'json' && !(fitsBytes(message.topic, MAX_NAME_BYTES) && fitsBytes(payload['event'], MAX_NAME_BYTES)))
    return encodeTextMessage(version, message, true)
  return encodeUserBroadcastPush(message, { event: payload['event'], metadata: metadataOf(payload), ...content })
}

/** The metadata of a broadcast: how to keep it, the key that identifies a repetition of it, and the trace that it belongs to. */
function metadataOf({ persist, idempotency_key, meta }: JsonObject): JsonObject | null {
  const traceparent = traceparentOf(meta) ?? undefined
  const isEmpty = persist === undefined && idempotency_key === undefined && traceparent === undefined
  return isEmpty ? null : { persist, idempotency_key, traceparent }
}

function userPayload(payload: unknown): Pick<UserBroadcast, 'encoding' | 'bytes'> {
  const bytes = bytesOf(payload)
  if (bytes !== undefined) return { encoding: 'binary', bytes }
  return { encoding: 'json', bytes: textBytes(JSON.stringify(payload) ?? '{}') }
}

/** The bytes of an `ArrayBuffer` or of a view, not copied; `undefined` for everything else. */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
  // By its tag, for a buffer made in another realm (a frame, a test environment) is no instance of this one's class.
  return Object.prototype.toString.call(value) === '[object ArrayBuffer]' ? new Uint8Array(value as ArrayBuffer) : undefined
}
