import type { JsonObject } from '../message.ts'
import { isJsonObject } from '../message.ts'

/** Payload of a `broadcast` message: a user event inside the protocol event. Of `meta` clients set `traceparent` only. */
export interface BroadcastPayload {
  readonly type: 'broadcast'
  readonly event: string
  readonly payload: unknown
  readonly meta?: BroadcastMeta
}

/** The metadata of a broadcast. */
export interface BroadcastMeta {
  /** The id of a message that is stored in the database; a live copy and its replay have the same. */
  readonly id?: string
  /** True for a stored message sent again on join. */
  readonly replayed?: boolean
  /** The trace that the message belongs to, as its sender gave it (rule B9). */
  readonly traceparent?: string
  readonly [key: string]: unknown
}

/**
 * A broadcast as a binary frame carries it (kinds 3 and 4): lengths up front, so that the payload is forwarded
 * without being parsed. `json` payloads hold JSON text, `binary` ones any bytes.
 */
export interface UserBroadcast {
  readonly event: string
  readonly metadata: JsonObject | null
  readonly encoding: 'json' | 'binary'
  readonly bytes: Uint8Array
}

/** Whether a payload has the shape that clients send and receive: `{ type: 'broadcast', event, payload }`. */
export function isBroadcastPayload(payload: unknown): payload is BroadcastPayload {
  return isJsonObject(payload) && typeof payload['event'] === 'string' && 'payload' in payload
}

/** Whether a broadcast, or the `broadcast` of a join, asks to be stored (rule B10). `persist` is a boolean or `{ ttl }`. */
export function asksToPersist(options: unknown): boolean {
  if (!isJsonObject(options)) return false
  const { persist } = options
  return persist !== undefined && persist !== null && persist !== false && persist !== 'false'
}

/** The refusal of a broadcast or join that asks to store (rule B10). */
export const PERSIST_UNSUPPORTED =
  'PersistUnsupported: this server does not store broadcasts. Send without `persist`, or from SQL with realtime.send'

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/** The `traceparent` of W3C Trace Context in an object that may have one; `null` for everything else (rule B9). */
export function traceparentOf(meta: unknown): string | null {
  if (!isJsonObject(meta)) return null
  const { traceparent } = meta
  return typeof traceparent === 'string' && TRACEPARENT.test(traceparent) ? traceparent : null
}
