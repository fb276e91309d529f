import type { Refusal } from '../auth/refusal.ts'
import type { DecisionCode } from '../decision-code.ts'
import type { JoinRequest, Ref } from '@tidewire/protocol'
import type { TopicKey } from '../ports/topic.ts'
import type { Reads, Subscriber } from '../topic/subscriber.ts'
import type { Subscription } from '../topic/encoding-group.ts'
import type { ChannelWriter } from './channel-writer.ts'
import type { ChannelPresence } from './channel-presence.ts'
import type { ChannelConnection, Services } from './services.ts'

/** A joined channel as the handlers of its events see it. */
export interface JoinedChannel extends Subscriber {
  readonly subTopic: string
  readonly joinRef: Ref
  readonly request: JoinRequest
  /** The join is large: each step of it takes a turn of the event loop of its own. */
  readonly isLarge: boolean
  readonly key: TopicKey
  readonly presence: ChannelPresence
  /** The newest token that the channel has, in use or being checked. */
  readonly token: string | null
  /** `null` once it has left the topic. */
  readonly subscription: Subscription | null
  readonly connection: ChannelConnection
  readonly services: Services
  readonly writer: ChannelWriter
  /** Whether the channel may send broadcasts and presence. Decided before a handler gets a push. */
  readonly mayWrite: Reads & { readonly refusal?: Refusal }
  /** Checks the token. If it is good, the channel uses its identity. */
  renew(token: string): void
  /** Ends the channel: `system` error, then `phx_close`. */
  stop(code: DecisionCode, message: string): void
}
