import type { JsonObject } from '../message.ts'
import { isJsonObject } from '../message.ts'

/** One tracked payload, with the reference that the server gave it. */
export interface PresenceMeta {
  readonly phx_ref: string
  /** The reference of the payload that this one replaced. */
  readonly phx_ref_prev?: string
  readonly [key: string]: unknown
}

/** Payload of `presence_state`: all presences of the topic, by key; several sockets may share a key. */
export interface PresenceState {
  readonly [key: string]: { readonly metas: readonly PresenceMeta[] }
}

/** Payload of `presence_diff`. An update is a join and a leave of one key in one diff (rule P4). */
export interface PresenceDiff {
  readonly joins: PresenceState
  readonly leaves: PresenceState
}

/** The request in a `presence` push of a client, read tolerantly (rule P2). */
export type PresenceRequest =
  | { readonly kind: 'track'; readonly payload: JsonObject }
  | { readonly kind: 'untrack' }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'invalid'; readonly reason: string | null }

/** Reads the payload of a `presence` push. `reason: null` means the error reply has an empty response. */
export function parsePresenceRequest(payload: unknown): PresenceRequest {
  if (!isJsonObject(payload) || payload['event'] === undefined) return { kind: 'nothing' }
  const event = payload['event']
  if (typeof event !== 'string') return { kind: 'invalid', reason: null }
  switch (event.toLowerCase()) {
    case 'track': {
      const tracked = payload['payload'] === undefined ? {} : payload['payload']
      if (!isJsonObject(tracked)) return { kind: 'invalid', reason: 'Presence track payload must be a map' }
      return { kind: 'track', payload: tracked }
    }
    case 'untrack':
      return { kind: 'untrack' }
    default:
      return { kind: 'invalid', reason: null }
  }
}
