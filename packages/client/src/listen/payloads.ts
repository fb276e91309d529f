import type { BroadcastMeta, ChangesFaultCode, GapReason, SystemPayload } from '@tidewire/protocol'
import type { RealtimePostgresFilterBuilder } from './filter-builder.ts'
import type { Untyped, UntypedRow } from './untyped.ts'

export type { Untyped, UntypedRow }

/** The payloads of a channel's broadcasts by event: `{ move: { x: number; y: number } }`. */
export type UntypedEvents = { [event: string]: Untyped }

/** A broadcast as its listener gets it. */
export interface BroadcastMessage<Payload = Untyped, Event extends string = string> {
  type: 'broadcast'
  event: Event
  payload: Payload
  meta?: BroadcastMeta
}

/** The kind of change to a row. */
export type ChangeEvent = 'INSERT' | 'UPDATE' | 'DELETE'

interface ChangeBase {
  schema: string
  table: string
  commit_timestamp: string
  errors: string[]
}

/** An inserted row. */
export type RealtimePostgresInsertPayload<Row extends object> = ChangeBase & { eventType: 'INSERT'; new: Row; old: {} }
/**
 * An updated row. `old` holds its replica identity: the key or, with REPLICA IDENTITY FULL, all columns. With Row
 * Level Security it is the key alone, unless the policies are made of the row's columns and claims and are true for the old row.
 */
export type RealtimePostgresUpdatePayload<Row extends object> = ChangeBase & { eventType: 'UPDATE'; new: Row; old: Partial<Row> }
/** A deleted row. `old` as with an update. */
export type RealtimePostgresDeletePayload<Row extends object> = ChangeBase & { eventType: 'DELETE'; new: {}; old: Partial<Row> }
/** A change of a row, discriminated by `eventType`. */
export type RealtimePostgresChangesPayload<Row extends object> =
  | RealtimePostgresInsertPayload<Row>
  | RealtimePostgresUpdatePayload<Row>
  | RealtimePostgresDeletePayload<Row>

/** The change that a listener for `Event` gets. */
export type ChangeOf<Row extends object, Event extends ChangeEvent | '*'> = Event extends '*'
  ? RealtimePostgresChangesPayload<Row>
  : Extract<RealtimePostgresChangesPayload<Row>, { eventType: Event }>

/** Which changes of which table. `Row` is the table's, where it is known. */
export interface ChangeFilter<Row extends object = UntypedRow> {
  schema: string
  table?: string
  /** `column=operator.value`, several joined by commas; or anything that builds such a text; or `(where) => where.eq('id', 1)`. */
  filter?: string | { build(): string } | ((where: RealtimePostgresFilterBuilder<Row>) => { build(): string })
  /** Columns to get; all by default. */
  select?: (keyof Row & string)[]
}

/** The filter of `on('postgres_changes')`: an event, or `*` for all, of the rows that the rest describes. */
export type RealtimePostgresChangesFilter<Event extends ChangeEvent | '*' = ChangeEvent | '*'> = ChangeFilter & { event: Event }

/** One tracked payload as users see it, with the server's reference for it. */
export type Presence<Meta extends object = UntypedRow> = { presence_ref: string } & Meta

/** The presences by key; several sockets may share a key. */
export type PresenceSnapshot<Meta extends object = UntypedRow> = { [key: string]: Presence<Meta>[] }

/** A change of presence. A listener for `*` gets an update as a join and a leave. */
export type PresenceEvent<Meta extends object = UntypedRow> =
  | { event: 'sync' }
  | RealtimePresenceJoinPayload<Meta>
  | RealtimePresenceLeavePayload<Meta>
  | RealtimePresenceUpdatePayload<Meta>

/** A member joined: the presences under the key before, and the new ones. */
export type RealtimePresenceJoinPayload<Meta extends object = UntypedRow> = {
  event: 'join'
  key: string
  currentPresences: Presence<Meta>[]
  newPresences: Presence<Meta>[]
}
/** A member left: the remaining presences under the key, and those that are gone. */
export type RealtimePresenceLeavePayload<Meta extends object = UntypedRow> = {
  event: 'leave'
  key: string
  currentPresences: Presence<Meta>[]
  leftPresences: Presence<Meta>[]
}
/** The payload tracked under a key was replaced: a join and a leave of one key in one message. */
export type RealtimePresenceUpdatePayload<Meta extends object = UntypedRow> = {
  event: 'update'
  key: string
  previousPresences: Presence<Meta>[]
  newPresences: Presence<Meta>[]
}

/** A message of the server about a channel itself: that changes flow, or what went wrong. `channel` is the topic without `realtime:`. */
export type RealtimeSystemPayload = {
  extension: SystemPayload['extension'] | (string & {})
  status: 'ok' | 'error' | (string & {})
  message: string
  channel: string
  /** Why changes do not flow, and what mends it. From a Tidewire server. */
  code?: ChangesFaultCode
  hint?: string
}

/**
 * A rejoin after the connection or the channel was lost. `recovered`: the server sent everything that was missed, which only
 * a Tidewire server can, for Postgres changes; else `reason` says why not.
 */
export type Rejoin = { readonly recovered: true; readonly reason: '' } | { readonly recovered: false; readonly reason: GapReason }

/** Keeps a message in the server's history; `ttl` in seconds. */
export type RealtimeBroadcastPersist = boolean | { ttl?: number }
