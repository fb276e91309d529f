import { decodeBinaryFromClient, decodeBinaryFromServer, encodeUserBroadcastPush } from './binary-serializer.ts'
import { undecodable, type Decoded } from './decode.ts'
import { decodeTextFromClient, decodeTextMessage, encodeTextMessage, textBytes } from './json-serializer.ts'
import type { Message, Ref } from './message.ts'
import type { UserBroadcast } from './broadcast.ts'
import { isBroadcastPayload } from './broadcast.ts'
import type { Version } from './version.ts'

/**
 * A frame from a client as the server needs it: the envelope read, the payload left in the bytes it came in, so that a
 * broadcast is forwarded without being built again.
 */
export interface ClientFrame {
  readonly joinRef: Ref
  readonly ref: Ref
  readonly topic: string
  readonly event: string
  readonly payload: FramePayload
}

export type FramePayload =
  /** JSON: `bytes` is its valid text, `value` the parsed value. */
  | { readonly kind: 'json'; readonly bytes: Uint8Array; readonly value: unknown }
  /** A binary push (kind 0): opaque. */
  | { readonly kind: 'binary'; readonly bytes: Uint8Array }
  /** A user broadcast (kind 3); a `json` one is validated. */
  | { readonly kind: 'user-broadcast'; readonly broadcast: UserBroadcast }

/** Reads what a client sent. A text frame comes as bytes that are known to be UTF-8. */
export function decodeClientFrame(version: Version, data: Uint8Array, binary: boolean): Decoded<ClientFrame> {
  if (!binary) return decodeTextFromClient(version, data)
  if (version === '1.0.0') return undecodable('binary-not-supported', 'binary frames need vsn=2.0.0')
  return decodeBinaryFromClient(data)
}

/** Reads what a server sent: a text frame as a string, a binary one as bytes. */
export function decodeServerFrame(version: Version, data: string | Uint8Array): Decoded<Message> {
  return typeof data === 'string' ? decodeTextMessage(version, data) : decodeBinaryFromServer(data)
}

/**
 * Writes what a client sends. Under 2.0.0 a broadcast becomes a binary frame: its payload bytes go as they are when it
 * is an `ArrayBuffer` or a view, as JSON otherwise. Throws what `JSON.stringify` throws, and a RangeError for names
 * over 255 bytes in a binary frame (rule N4).
 */
export function encodeClientMessage(version: Version, message: Message): string | Uint8Array {
  const { payload } = message
  if (version === '1.0.0' || message.event !== 'broadcast' || !isBroadcastPayload(payload)) return encodeTextMessage(version, message, true)
  return encodeUserBroadcastPush(message, {
    event: payload.event,
    metadata: null,
    ...userPayload(payload.payload),
  })
}

function userPayload(payload: unknown): Pick<UserBroadcast, 'encoding' | 'bytes'> {
  if (payload instanceof ArrayBuffer) return { encoding: 'binary', bytes: new Uint8Array(payload) }
  if (ArrayBuffer.isView(payload))
    return { encoding: 'binary', bytes: new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength) }
  return { encoding: 'json', bytes: textBytes(JSON.stringify(payload) ?? 'null') }
}
