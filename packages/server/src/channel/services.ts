import type { Version } from '@tidewire/protocol'
import type { AdmissionResult } from '../auth/admission.ts'
import type { ConnectionRates } from '../limits/connection-rates.ts'
import type { Limits } from '../limits/limits.ts'
import type { StepQueue } from '../limits/step-queue.ts'
import type { Authorizer, ChangeFeed, MessageStore, Observer, Runtime } from '../ports.ts'
import type { PresenceTracker } from '../presence/presence-tracker.ts'
import type { FanOutTimes } from '../topic/fan-out-times.ts'
import type { Publisher } from '../topic/publisher.ts'
import type { Topics } from '../topic/topics.ts'
import type { WaitingBytes } from './waiting-frames.ts'

/** Services of the server that all its channels share. */
export interface Services {
  readonly runtime: Runtime
  readonly limits: Limits
  readonly topics: Topics
  readonly publisher: Publisher
  /** There are other nodes. */
  readonly isClustered: boolean
  readonly fanOutTimes: FanOutTimes
  /** Large jobs of the whole server, done in steps: large frames, and presence of other nodes. While it is full, sockets pause. */
  readonly largeFrames: StepQueue
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

/** A connection, as its channels see it. */
export interface ChannelConnection {
  readonly id: string
  readonly version: Version
  /** The token of the upgrade. Channels without a token of their own use it. */
  readonly token: string
  readonly headers: Readonly<Record<string, string>>
  /** Bytes of frames that wait for a decision, of all channels of the connection. */
  readonly waiting: WaitingBytes
  readonly rates: ConnectionRates
  /** `write` takes ready WebSocket frames that hold `messages` messages; never throws. */
  readonly output: { write(frames: Buffer, messages: number): void }
  /** Counts a frame without effect. Closes the socket and returns `false` above the limit. */
  allowIdleFrame(): boolean
  /** Closes the socket for too many joins. */
  closeForJoins(): void
}
