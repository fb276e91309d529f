import type { RealtimeError } from '@tidewire/protocol'
import type { SubscribeStatus } from './channel-state.ts'
import type { BroadcastMessage, RealtimeBroadcastPersist, Untyped } from '../listen/payloads.ts'

/** The parts of a channel, asked of the server with the join. Each part that is left out is off. */
export interface RealtimeChannelOptions {
  config: {
    broadcast?: {
      /** Also get what this channel sends. */
      self?: boolean
      /** `send` waits until the server has taken the message. */
      ack?: boolean
      /** On join, get stored messages since this time (milliseconds since 1970). Private channels only. */
      replay?: { since: number; limit?: number }
      /** Ask for a `system` message once the server's replication runs. */
      replication_ready?: boolean
    }
    /** `enabled` asks for the others' presence; a presence listener does so too. */
    presence?: { key?: string; enabled?: boolean }
    private?: boolean
    /**
     * `wait` holds SUBSCRIBED back until changes flow, for at most `timeout` milliseconds. `since` is a position that the
     * server gave before: what came after it is sent first, where the server still has it. `deletes: 'authorized'` gets
     * deletes of rows that the user could see, and no others: tables need REPLICA IDENTITY FULL, and the server to be Tidewire.
     */
    postgres_changes_options?: { wait?: boolean; timeout?: number; since?: string; deletes?: 'all' | 'authorized' }
  }
}

/** Called with how each join ended; `error` comes with CHANNEL_ERROR. */
export type SubscribeCallback = (status: SubscribeStatus, error?: RealtimeError) => void

/** The outcome of a message: taken (or written, where no answer was requested), not answered in time, refused. */
export type RealtimeChannelSendResponse = 'ok' | 'timed out' | 'error' | (string & {})

/** A listener is called until `off`, or until `signal` aborts. */
export interface ListenOptions {
  signal?: AbortSignal
}

/** `timeout`: how long to wait for the answer, in milliseconds. Default: the channel's. */
export interface SendOptions {
  timeout?: number
  [key: string]: Untyped
}

/** A message for `send`. */
export interface OutgoingMessage {
  type: 'broadcast' | 'presence' | 'postgres_changes'
  event: string
  payload?: Untyped
  /** Keeps the broadcast in the history of a private channel. Version 2.0.0 only. */
  persist?: RealtimeBroadcastPersist
  [key: string]: Untyped
}

/** The names of the events. */
export type EventOf<Events> = keyof Events & string
/** A broadcast of any of the events. */
export type AnyMessage<Events> = { [Event in EventOf<Events>]: BroadcastMessage<Events[Event], Event> }[EventOf<Events>]
