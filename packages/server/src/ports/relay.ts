import type { TopicKey } from '@tidewire/protocol'
import type { TopicMessage } from './topic.ts'

/** A topic as the relay names it. */
export type RelayTopic = TopicKey

/** A broadcast in the form in which the topic holds it. The receiving node fans it out as it is and never parses its payload. */
export type RelayMessage = TopicMessage

/** Messages between nodes that are no broadcasts. */
export type NodeChannel = 'presence' | 'admin'

/** One process of a cluster. Two nodes may share a name; no two processes share an instance. */
export interface RelayPeer {
  /** Random for every run of a process. Also the name of its presence replica. */
  readonly instance: string
  readonly name: string
  readonly version: string
  /** Unix milliseconds by the clock of that node. */
  readonly startedAt: number
}

/** A change of another node, as the relay reports it. */
export type PeerEvent =
  /** Heard for the first time, or again after `down`. */
  | { readonly kind: 'up'; readonly peer: RelayPeer }
  /** Drains: its clients are about to come back on other nodes. It closes them within `spreadMs`; 0 where it does not say. */
  | { readonly kind: 'leaving'; readonly peer: RelayPeer; readonly spreadMs: number }
  /** Known to be gone: it closed, or was silent for a minute. Shorter silence is judged by presence, which counts its own heartbeats. */
  | { readonly kind: 'down'; readonly peer: RelayPeer }

/** The link to the broker, and so to the other nodes. */
export type RelayLink =
  | { readonly state: 'up'; readonly sinceUptimeMs: number }
  /** `detail` is a sentence that says why, without secrets. Retried for ever. */
  | { readonly state: 'down'; readonly sinceUptimeMs: number; readonly detail: string }

/** A fault of the relay. The list is closed. */
export type RelayFaultCode =
  /** Bytes that are no envelope. */
  | 'malformed'
  /** An envelope of a version that this node cannot read. */
  | 'version'
  /** Parts of a message that did not all come. */
  | 'incomplete'
  /** Not sent, because the link was down. */
  | 'unsent'
  /** Not sent, because too much was unconfirmed by the broker. */
  | 'overflow'
  /** A broker error, for example a missing permission. */
  | 'broker'
  /** Another running process uses this node's name. */
  | 'same-name'

/** Something that was dropped or refused. `count` is how many since the last report of this code; reports are sampled. */
export interface RelayFault {
  readonly code: RelayFaultCode
  readonly detail: string
  readonly count: number
}

/** Callbacks of one relay; they must not throw. Byte arrays stay valid, and must not be changed. */
export interface RelayListener {
  /** Messages of one topic from one other node, in that node's order. Never this node's own. */
  onMessage(topic: RelayTopic, messages: readonly RelayMessage[], from: string): void
  /** From the instance `from`; hostile only as far as the broker is. */
  onNodeMessage(channel: NodeChannel, bytes: Uint8Array, from: string): void
  onPeer(event: PeerEvent): void
  /** Messages of these topics may have been missed. `all`: on every topic with interest. */
  onGap(topics: 'all' | readonly RelayTopic[]): void
  /** The state changed, or the reason why the link is down. Until the first call the link is down. */
  onLink(link: RelayLink): void
  onFault(fault: RelayFault): void
}

/** A node's interest in one topic, until `release`. */
export interface RelayInterest {
  /**
   * `null`: messages of this topic already come. Otherwise settles with `true` once the broker has confirmed the subscription, and
   * with `false` after a second, or at once while the link is down: a message may have been missed. Never rejects.
   */
  readonly ready: Promise<boolean> | null
  /** Idempotent. The subscription itself is kept for a few seconds, so that a returning member finds it in place. */
  readonly release: () => void
}

/** Counters since the start, for metrics. */
export interface RelayStats {
  readonly sentMessages: number
  readonly sentBytes: number
  readonly receivedMessages: number
  readonly receivedBytes: number
  readonly reconnects: number
  readonly subscriptions: number
  readonly faults: Readonly<Partial<Record<RelayFaultCode, number>>>
}

/**
 * Carries broadcasts and node messages between nodes. It holds nothing: messages that are published while the link is down are dropped and
 * counted, and both ends report a gap when the link is back. Order holds per sending node; loss is always followed by `onGap` on
 * nodes with interest, at the latest one heartbeat after the path works again. Interest counts from the sender's next message on
 * the topic, or its next heartbeat, after `ready`: earlier messages cannot be distinguished from those before the interest.
 */
export interface Relay {
  /** This process. */
  readonly self: RelayPeer
  readonly link: RelayLink
  /** The known nodes that are not `down`. */
  readonly peers: readonly RelayPeer[]
  /** Starts, and calls the listener from then on. Never fails: an unreachable broker is a link that is down. To be called once. */
  start(listener: RelayListener): void
  /**
   * Sends messages of one topic to all other nodes with interest in it, in one broker message where the broker's limit allows, in
   * parts where it does not. To be called after local delivery, once a topic and turn. Copies. `false`: dropped, the link is down.
   */
  publish(topic: RelayTopic, messages: readonly RelayMessage[]): boolean
  /** Each call is one reference; the first makes the subscription. */
  interest(topic: RelayTopic): RelayInterest
  /** Sends to one instance, or to all other nodes. Any size; copies. `false`: dropped, the link is down. */
  send(channel: NodeChannel, bytes: Uint8Array, to?: string): boolean
  /**
   * Settles with `true` once everything that the broker had for this node when it was called was handed to the listener, with
   * `false` if the link is down, goes down or does not answer within a second. After a frozen process resumes, its clocks run
   * before its sockets are read: silence of other nodes counts only after a `true`. Never rejects.
   */
  caughtUp(): Promise<boolean>
  /** Notifies the other nodes that this one drains, and over how much time. */
  leave(spreadMs: number): void
  /** Sends pending messages, notifies the other nodes, and closes; bounded by two seconds. Idempotent. */
  close(): Promise<void>
  stats(): RelayStats
}
