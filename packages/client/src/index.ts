/// <reference lib="esnext.disposable" preserve="true" />
import { Client } from './client.ts'
import type { UntypedDatabase } from './database.ts'
import { defaultRuntime } from './io/default-runtime.ts'
import type { RealtimeClientOptions } from './options.ts'

/** One connection to a realtime server, and the channels on it. */
export class RealtimeClient<Database = UntypedDatabase> extends Client<Database> {
  constructor(endPoint: string, options?: RealtimeClientOptions) {
    super(endPoint, options, defaultRuntime)
  }
}

export { wakeWithApp, type AppStateLike } from './app-state.ts'
export { RealtimeChannel } from './channel.ts'
export type { SubscribeStatus } from './channel-state.ts'
export type { ChannelHandle } from './client.ts'
export type { ConnectionState } from './connection-state.ts'
export * from './constants.ts'
export type { RowOf, SchemaOf, TableOf, UntypedDatabase } from './database.ts'
export { postgresChangesFilter, RealtimePostgresFilterBuilder } from './filter-builder.ts'
export type { RealtimePostgresChangesFilterOperator } from './filter-builder.ts'
export { WebSocketFactory } from './io/websocket-factory.ts'
export type { IterationOptions } from './iteration.ts'
export type { Loss } from './loss.ts'
export type {
  ListenOptions,
  OutgoingMessage,
  RealtimeChannelOptions,
  RealtimeChannelSendResponse,
  SendOptions,
  SubscribeCallback,
} from './channel-options.ts'
export type { BigNumbers, HeartbeatCallback, HeartbeatStatus, LogLevel, RealtimeClientOptions, RealtimeMessage } from './options.ts'
export type * from './payloads.ts'
export { RealtimePresence } from './presence.ts'
export type { PresenceSnapshot as RealtimePresenceState } from './payloads.ts'
export type { HttpAnswer, HttpRequest, Runtime, Surroundings, WebSocketLike, WebSocketLikeConstructor, WorkerTimers } from './runtime.ts'
export type { EventsOf, Schema, Schemas } from './schema.ts'
export type { AckOptions, AckResult } from './send-with-ack.ts'
/**
 * What `removeChannel` resolves with. Tidewire's own answer is always `ok`; the others are in the type for programs written
 * for realtime-js.
 */
export type RealtimeRemoveChannelResponse = 'ok' | 'timed out' | 'error' | (string & {})
export { RealtimeError } from '@tidewire/protocol'
export type { RealtimeErrorCode, SystemPayload } from '@tidewire/protocol'
