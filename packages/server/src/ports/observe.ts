import type { DecisionCode } from '../decision-code.ts'
import type { DecidedChange, FeedLag } from './changes.ts'
import type { PeerEvent, RelayFault, RelayLink, RelayTopic } from './relay.ts'

/** Everything that a server refused, dropped or closed, with its reason: logs, metrics and the inspector read it. */
export interface Decision {
  readonly kind:
    | 'upgrade-refused'
    | 'frame-refused'
    | 'join-refused'
    | 'push-refused'
    | 'channel-closed'
    | 'connection-closed'
    | 'http-refused'
    | 'publish-refused'
    | 'changes-refused'
    | 'changes-withheld'
  readonly code: DecisionCode
  /** A sentence; never holds a token or a payload. */
  readonly detail: string
  readonly connection?: string
  readonly topic?: string
  /** Whether the topic is a private one; missing where that could not be read. */
  readonly private?: boolean
}

/** A message that was fanned out: a broadcast, or a change of presence. Its bytes must be neither kept nor changed. */
export interface SentMessage {
  readonly kind: 'broadcast' | 'track' | 'untrack'
  readonly private: boolean
  /** The id of the connection that sent it; `null`: over HTTP or from the database. */
  readonly connection: string | null
  /** The event of a broadcast; `null` where it stands in the payload, as `event`. */
  readonly event: string | null
  readonly encoding: 'json' | 'binary'
  readonly payload: Uint8Array
}

/** A row change that was decided about, with the milliseconds from its commit to its frames (0 if the clocks differ by more). */
export interface ObservedChange extends DecidedChange {
  readonly ms: number
}

/** An event between nodes. */
export type NodeEvent =
  | { readonly kind: 'peer'; readonly event: PeerEvent }
  | { readonly kind: 'link'; readonly link: RelayLink }
  /** Messages of other nodes may have been missed; `all`: on every topic with members. */
  | { readonly kind: 'gap'; readonly topics: 'all' | readonly RelayTopic[] }
  | { readonly kind: 'fault'; readonly fault: RelayFault }

/** Follows broadcasts to their sockets, for tracing. Must not throw. */
export interface Tracer {
  /**
   * A broadcast begins, now or at `since` (Unix milliseconds: the commit, of one from the database); `traceparent` is what
   * its sender gave (rule B9). The returned function is called once, when the broadcast is written to the sockets of all its receivers.
   */
  broadcast(topic: string, traceparent: string | null, bytes: number, since: number | null): (receivers: number) => void
}

/**
 * Is notified of the events of a server. Methods must not throw and must return at once. Optional methods are for measurements,
 * which are made only where an observer has the method.
 */
export interface Observer {
  decision(decision: Decision): void
  connected(connection: string): void
  disconnected(connection: string, code: number): void
  joined(connection: string, topic: string, isPrivate: boolean): void
  left(connection: string, topic: string, isPrivate: boolean): void
  /** A message fanned out to `receivers` subscribers, which may be none; `bytes` of payload. */
  broadcast(topic: string, receivers: number, bytes: number, message: SentMessage): void
  /** A frame from a client. */
  received(bytes: number): void
  /** A message is written to the sockets of all its receivers: milliseconds since its frame came in. */
  fannedOut?: ((ms: number) => void) | undefined
  /** A message that SQL sent is written to the sockets of all its receivers, or there are none: milliseconds since its commit. */
  storedFannedOut?: ((ms: number) => void) | undefined
  /** Milliseconds that the policies of a private channel took to answer. */
  authorized?: ((ms: number) => void) | undefined
  /** A row change is written. For insert → frame look at `ms` of those with receivers. */
  changed?: ((change: ObservedChange) => void) | undefined
  /** Events of other nodes and of the relay. */
  nodeEvent?: ((event: NodeEvent) => void) | undefined
  /** Once a second while there is a feed: how far it is behind. `ms`: how long the oldest change has waited. */
  feedLag?: ((lag: FeedLag) => void) | undefined
}
