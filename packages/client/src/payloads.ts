import type { BroadcastMeta, SystemPayload } from '@tidewire/protocol'
import type { RealtimePostgresFilterBuilder } from './filter-builder.ts'
import type { Untyped, UntypedRow } from './untyped.ts'

export type { Untyped, UntypedRow }

/** The payloads of a channel's broadcasts by event: `{ move: { x: number; y: number } }`. */
export type UntypedEvents = { [event: string]: Untyped }

export interface BroadcastMessage<Payload = Untyped, Event extends string = string> {
  type: 'broadcast'
  event: Event
  payload: Payload
  meta?: BroadcastMeta
}

export type ChangeEvent = 'INSERT' | 'UPDATE' | 'DELETE'

interface ChangeBase {
  schema: string
  table: string
  commit_timestamp: string
  errors: string[]
}

export type RealtimePostgresInsertPayload<Row extends object> = ChangeBase & { eventType: 'INSERT'; new: Row; old: {} }
export type RealtimePostgresUpdatePayload<Row extends object> = ChangeBase & { eventType: 'UPDATE'; new: Row; old: Partial<Row> }
export type RealtimePostgresDeletePayload<Row extends object> = ChangeBase & { eventType: 'DELETE'; new: {}; old: Partial<Row> }
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

export type RealtimePostgresChangesFilter<Event extends ChangeEvent | '*' = ChangeEvent | '*'> = ChangeFilter & { event: Event }

/** One tracked payload as users see it: what was tracked, and the server's reference for it. */
export type Presence<Meta extends object = UntypedRow> = { presence_ref: string } & Meta

/** Who is here, by key; several sockets may share a key. */
export type PresenceSnapshot<Meta extends object = UntypedRow> = { [key: string]: Presence<Meta>[] }

export type PresenceEvent<Meta extends object = UntypedRow> =
  | { event: 'sync' }
  | RealtimePresenceJoinPayload<Meta>
  | RealtimePresenceLeavePayload<Meta>
  | RealtimePresenceUpdatePayload<Meta>

export type RealtimePresenceJoinPayload<Meta extends object = UntypedRow> = {
  event: 'join'
  key: string
  currentPresences: Presence<Meta>[]
  newPresences: Presence<Meta>[]
}
export type RealtimePresenceLeavePayload<Meta extends object = UntypedRow> = {
  event: 'leave'
  key: string
  currentPresences: Presence<Meta>[]
  leftPresences: Presence<Meta>[]
}
/** What was tracked under a key was replaced: a join and a leave of one key in one message. */
export type RealtimePresenceUpdatePayload<Meta extends object = UntypedRow> = {
  event: 'update'
  key: string
  previousPresences: Presence<Meta>[]
  newPresences: Presence<Meta>[]
}

export type RealtimeSystemPayload = {
  extension: SystemPayload['extension'] | (string & {})
  status: 'ok' | 'error' | (string & {})
  message: string
  channel: string
}

/** A rejoin after the connection or the channel was lost. */
export interface Rejoin {
  /** Whether the server sent everything that was missed. Only a Tidewire server can, for Postgres changes. */
  readonly recovered: boolean
  /** Why not. */
  readonly reason: string
}

/** Keeps a message in the server's history; `ttl` in seconds. */
export type RealtimeBroadcastPersist = boolean | { ttl?: number }
