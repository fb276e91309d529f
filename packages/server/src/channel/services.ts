import type { DecisionCode } from '../decision-code.ts'
import type { Version } from '@tidewire/protocol'
import type { Limits } from '../limits/limits.ts'
import type { Authorizer, ChangeFeed, MessageStore, Observer, Runtime } from '../ports.ts'
import type { PresenceTracker } from '../presence/presence-tracker.ts'
import type { FanOutTimes } from '../topic/fan-out-times.ts'
import type { Publisher } from '../topic/publisher.ts'
import type { Topics } from '../topic/topics.ts'
import type { Admission } from './channel-state.ts'
import type { WaitingBytes } from './waiting-frames.ts'

/** What every channel of a server shares. */
export interface Services {
  readonly runtime: Runtime
  readonly limits: Limits
  readonly topics: Topics
  readonly publisher: Publisher
  /** There are other nodes. */
  readonly isClustered: boolean
  readonly fanOutTimes: FanOutTimes
  /** Owners are channels, compared by identity. */
  readonly presence: PresenceTracker<object>
  /** To be called after every change of an entry, for the other nodes. */
  presenceChanged(): void
  readonly authorizer: Authorizer
  /** Without a database there are no stored messages and no row changes. */
  readonly messageStore: MessageStore | null
  readonly changeFeed: ChangeFeed | null
  readonly observer: Observer
  /** Refusals name the policy that failed and its error: on a developer's own machine. */
  readonly showsFailedPolicies: boolean
  /** Checks a token and its claims; never rejects. */
  admit(token: string, headers: Readonly<Record<string, string>>): Promise<AdmissionResult>
}

export type AdmissionResult =
  | { readonly ok: true; readonly admission: Admission }
  | {
      readonly ok: false
      readonly code: DecisionCode
      /** For a join reply. */ readonly joinReason: string
      /** For a `system` message. */ readonly message: string
    }

/** What a channel needs of its connection. */
export interface ChannelConnection {
  readonly id: string
  readonly version: Version
  /** The token of the upgrade; channels without one of their own act for it. */
  readonly token: string
  readonly headers: Readonly<Record<string, string>>
  /** What its channels keep that waits for a decision. */
  readonly waiting: WaitingBytes
  /** Takes ready WebSocket frames, so many messages; never throws. */
  write(frames: Buffer, messages: number): void
  /** Whether one more event is within the limit of this connection. */
  allowEvent(): boolean
  allowPresenceEvent(): boolean
  /** Counts a frame that does nothing to its channel. Whether it is within the limit; the socket is closed where it is not. */
  allowIdleFrame(): boolean
  /** Counts a join, or a token that has to be checked like one. Whether it is within the limit of this connection. */
  allowJoin(): boolean
  /** Ends the socket after joins beyond the limit. */
  closeForJoins(): void
  /** Whether the client may be notified of this kind of fault now, without a push to answer. */
  allowNotice(kind: string): boolean
}
