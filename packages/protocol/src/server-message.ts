import type { BroadcastPayload } from './broadcast.ts'
import type { Message } from './message.ts'
import type { PostgresChangesEntry, PostgresChangesPayload } from './postgres-changes.ts'
import type { PresenceDiff, PresenceState } from './presence.ts'

/** Payload of `phx_reply`. An error's response is `{ reason }`, `{}`, or the bare string of rule B5. */
export interface ReplyPayload {
  readonly status: 'ok' | 'error'
  readonly response: unknown
}

/** `response` of a successful join: the requested entries in their order, each with its `id`. */
export interface JoinResponse {
  readonly postgres_changes: readonly (PostgresChangesEntry & { readonly id: number })[]
}

/** Payload of `system`: what the server has to say about a channel outside of replies. */
export interface SystemPayload {
  readonly message: string
  readonly status: 'ok' | 'error'
  readonly extension: 'postgres_changes' | 'broadcast' | 'system'
  /** The sub-topic; absent in messages to the whole socket. */
  readonly channel?: string
  /** Broadcasts may have been missed (rule B11). */
  readonly gap?: GapReason
}

/**
 * Why broadcasts may have been missed. `relay-lost`: messages between nodes were lost, or the way to the other nodes was down.
 * `relay-unconfirmed`: the channel joined before the messages of other nodes were known to come.
 */
export type GapReason = 'relay-lost' | 'relay-unconfirmed'

/** Everything a server sends. */
export type ServerMessage =
  | Message<'phx_reply', ReplyPayload>
  | Message<'phx_close', Record<string, never>>
  | Message<'phx_error', { readonly reason?: string }>
  | Message<'system', SystemPayload>
  | Message<'broadcast', BroadcastPayload>
  | Message<'presence_state', PresenceState>
  | Message<'presence_diff', PresenceDiff>
  | Message<'postgres_changes', PostgresChangesPayload>
