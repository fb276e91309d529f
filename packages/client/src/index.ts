import { RealtimeClient as Client } from './client.ts'
import { defaultRuntime } from './io/default-runtime.ts'
import type { RealtimeClientOptions } from './options.ts'

/** One connection to a realtime server, and the channels on it. */
export class RealtimeClient extends Client {
  constructor(endPoint: string, options?: RealtimeClientOptions) {
    super(endPoint, options, defaultRuntime)
  }
}

export { RealtimeChannel } from './channel.ts'
export type { BroadcastMessage, ChangeFilter, RealtimeChannelOptions, SendResponse, SubscribeCallback } from './channel.ts'
export type { ChangePayload } from './change-values.ts'
export type { SubscribeStatus } from './channel-state.ts'
export type { HeartbeatCallback, HeartbeatStatus, LogLevel, RealtimeClientOptions, RealtimeMessage } from './options.ts'
export type { Presence, PresenceEvent, PresenceSnapshot } from './presence-view.ts'
export type { HttpAnswer, HttpRequest, Runtime, Surroundings, WebSocketLike, WebSocketLikeConstructor, WorkerTimers } from './runtime.ts'
export { RealtimeError } from '@tidewire/protocol'
export type { RealtimeErrorCode, SystemPayload } from '@tidewire/protocol'
