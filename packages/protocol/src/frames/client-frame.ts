import type { UserBroadcast } from '../payloads/broadcast.ts'
import type { FrameEnvelope } from './decode.ts'

/**
 * A frame from a client as the server needs it: the envelope read, the payload left in the bytes it came in, so that a
 * broadcast is forwarded without being built again.
 */
export interface ClientFrame extends FrameEnvelope {
  readonly payload: FramePayload
}

/** The payload of a frame, by how it came. */
export type FramePayload =
  /** JSON: `bytes` is its valid text, `value` the parsed value. */
  | { readonly kind: 'json'; readonly bytes: Uint8Array; readonly value: unknown }
  /** JSON that is not read here, of a large frame: `bytes` is its valid text, not parsed. */
  | { readonly kind: 'json-text'; readonly bytes: Uint8Array }
  /** A binary push (kind 0): opaque. */
  | { readonly kind: 'binary'; readonly bytes: Uint8Array }
  /** A user broadcast (kind 3): the bytes of a `json` one are JSON, those of a `binary` one opaque. */
  | { readonly kind: 'user-broadcast'; readonly broadcast: UserBroadcast }

/** Bytes of a payload as it came. */
export function payloadBytes(payload: FramePayload): number {
  return payload.kind === 'user-broadcast' ? payload.broadcast.bytes.length : payload.bytes.length
}
