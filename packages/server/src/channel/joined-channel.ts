import type { DecisionCode } from '../decision-code.ts'
import type { JoinRequest, Ref } from '@tidewire/protocol'
import type { TopicKey } from '../ports/topic.ts'
import type { Reads, Subscriber } from '../topic/subscriber.ts'
import type { Subscription } from '../topic/encoding-group.ts'
import type { ChannelConnection, Services } from './services.ts'

/** A joined channel as the handlers of its events see it. */
export interface JoinedChannel extends Subscriber {
  readonly subTopic: string
  readonly request: JoinRequest
  readonly key: TopicKey
  readonly presenceKey: string
  /** When it began to be present, Unix milliseconds; `null` while it is not. */
  presentSince: number | null
  /** `null` once it has left the topic. */
  readonly subscription: Subscription | null
  readonly connection: ChannelConnection
  readonly services: Services
  /** What may be sent; known once a push has got this far. */
  readonly mayWrite: Reads
  /** Answers a push, in order with what the topic has pending. */
  reply(ref: Ref, status: 'ok' | 'error', response: unknown): void
  /** Refuses a push: an error reply where there is a ref to answer, a `system` message otherwise (rule X4). */
  refuse(ref: Ref, code: DecisionCode, reason: string, response?: unknown): void
  /** Refuses a push that the policies deny. */
  refuseWrite(ref: Ref, text: string): void
  /** Ends the channel: `system` error, then `phx_close`. */
  stop(code: DecisionCode, message: string): void
}
