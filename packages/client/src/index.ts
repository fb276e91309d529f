/// <reference lib="esnext.disposable" preserve="true" />
import { Client } from './client.ts'
import type { UntypedDatabase } from './listen/database.ts'
import { defaultRuntime } from './io/default-runtime.ts'
import type { RealtimeClientOptions } from './options.ts'

/** One connection to a realtime server, and the channels on it. */
export class RealtimeClient<Database = UntypedDatabase> extends Client<Database> {
  constructor(endPoint: string, options?: RealtimeClientOptions) {
    super(endPoint, options, defaultRuntime)
  }
}

export { wakeWithApp, type AppStateLike } from './connection/wake-with-app.ts'
export { RealtimeChannel } from './channel.ts'
export type { SubscribeStatus } from './channel/channel-state.ts'
export type { ChannelHandle } from './client.ts'
export type { ConnectionState } from './connection/connection-state.ts'
export * from './compat/constants.ts'
export type { RowOf, SchemaOf, TableOf, UntypedDatabase } from './listen/database.ts'
export { postgresChangesFilter, RealtimePostgresFilterBuilder } from './listen/filter-builder.ts'
export type { RealtimePostgresChangesFilterOperator } from './listen/filter-builder.ts'
export { WebSocketFactory } from './io/websocket-factory.ts'
export type { IterationOptions } from './listen/iteration.ts'
export type { Loss } from './connection/loss.ts'
export type {
  ListenOptions,
  OutgoingMessage,
  RealtimeChannelOptions,
  RealtimeChannelSendResponse,
  SendOptions,
  SubscribeCallback,
} from './channel/channel-options.ts'
export type { BigNumbers, HeartbeatCallback, HeartbeatStatus, LogLevel, RealtimeClientOptions, RealtimeMessage } from './options.ts'
export type * from './listen/payloads.ts'
export { RealtimePresence } from './compat/presence.ts'
export type { PresenceSnapshot as RealtimePresenceState } from './listen/payloads.ts'
export type { HttpAnswer, HttpRequest, Runtime, PageLifecycle, WebSocketLike, WebSocketLikeConstructor, WorkerTimers } from './runtime.ts'
export type { EventsOf, Schema, Schemas } from './listen/schema.ts'
export type { AckOptions, AckResult } from './channel/send-with-ack.ts'
/**
 * The answer of `removeChannel`. Tidewire's own answer is always `ok`; the others are in the type for programs written
 * for realtime-js.
 */
export type RealtimeRemoveChannelResponse = 'ok' | 'timed out' | 'error' | (string & {})
export { RealtimeError } from '@tidewire/protocol'
export type { RealtimeErrorCode, SystemPayload } from '@tidewire/protocol'
