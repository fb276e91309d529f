import type { Message, RealtimeError, TimerPort } from '@tidewire/protocol'
import type { HttpPort } from './http.ts'

/** The client, as a channel needs it. */
export interface ChannelHost extends HttpPort, TimerPort {
  readonly isUp: boolean
  connect(): void
  nextRef(): string
  /** Throws a RealtimeError when the message cannot be written. */
  write(message: Message): void
  /** Calls back once the token is known to be fresh and it is this channel's turn to join; at once where neither takes time. */
  authorize(channel: HostedChannel, done: (error?: RealtimeError) => void): void
  /** The channel's join has succeeded or failed. */
  settled(channel: HostedChannel): void
  /** Throws when another channel has the topic. */
  attach(channel: HostedChannel): void
  detach(channel: HostedChannel): void
  readonly report: (error: RealtimeError) => void
  log(kind: string, text: string, data?: unknown): void
  warn(text: string): void
}

/** A channel, as its client needs it. */
export interface HostedChannel {
  readonly topic: string
  /** The `RealtimeChannel` of this topic. */
  owner: object
  /** Open handles of `hold`. */
  refCount: number
  /** The connection is open. */
  up(): void
  /** The connection is gone. */
  down(error: RealtimeError): void
  receive(message: Message): void
  /** The client's token has changed. */
  tokenChanged(): void
  /** Rejects all pending pushes and waiters. */
  giveUp(error: RealtimeError): void
  /** Leaves the topic, for good. */
  leave(): void
}
