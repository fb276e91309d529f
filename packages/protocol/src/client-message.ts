import type { BroadcastPayload } from './broadcast.ts'
import type { JoinPayload } from './join.ts'
import type { JsonObject, Message } from './message.ts'

/** Everything a client sends. */
export type ClientMessage =
  | Message<'heartbeat', JsonObject>
  | Message<'phx_join', JoinPayload>
  | Message<'phx_leave', JsonObject>
  | Message<'access_token', { readonly access_token: string | null }>
  | Message<'broadcast', BroadcastPayload>
  | Message<'presence', { readonly type: 'presence'; readonly event: 'track' | 'untrack'; readonly payload?: JsonObject }>
