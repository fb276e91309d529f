import { wireTopic, type BroadcastGap, type Version } from '@tidewire/protocol'
import type { JoinPosition, MessageCommit } from '../ports/log.ts'
import type { RelayInterest } from '../ports/relay.ts'
import type { TopicKey, TopicMessage } from '../ports/topic.ts'
import { Envelopes } from './encoded-message.ts'
import { exceptedIn, flushGroup, writeTo, writeToAll, type EncodingGroup, type Except, type Subscription } from './encoding-group.ts'
import type { FlushScheduler } from './flush-scheduler.ts'
import { isBefore, isBehind, latestOf } from './join-position.ts'
import type { Reads, StoredMessageBuffer, Stream, Subscriber } from './subscriber.ts'

/** A group with this many pending bytes is written before the end of the turn. */
const FLUSH_BYTES = 64 * 1024

/** Messages a turn, smoothed. From here on, even the first message of a turn is gathered. */
const GATHER_FROM = 1.5

/**
 * The subscribers of one topic. A message is encoded once for each encoding group. When messages come often, a subscriber
 * mostly gets those of a turn in one write. All subscribers get them in the same order.
 */
export class Topic {
  readonly key: TopicKey
  /** The name on the wire. */
  readonly name: string
  /** The interest of this node in the topic's messages from other nodes. */
  readonly interest: RelayInterest | undefined
  readonly #scheduler: FlushScheduler
  readonly #envelopes: Envelopes
  readonly #groups: EncodingGroup[] = []
  /** Buffers of channels that are joining. */
  #buffers: Set<StoredMessageBuffer> | null = null
  /** The latest join so far. What is committed after it is for all subscribers. */
  #latestJoin: JoinPosition | null = null
  #afterFlush: (() => void)[] = []
  /** When the pending messages began; empty while no observer measures it. */
  #pendingSince: number[] = []
  #delivered: { readonly payload: Uint8Array; readonly event: string; readonly frames: Map<Version, Buffer> } | undefined
  #dirty = false
  #lastTurn = -1
  #messagesInTurn = 0
  #messagesPerTurn = 0
  #reservations = 0
  size = 0

  constructor(key: TopicKey, scheduler: FlushScheduler, interest?: RelayInterest) {
    this.key = key
    this.interest = interest
    this.name = wireTopic(key.name)
    this.#scheduler = scheduler
    this.#envelopes = new Envelopes(this.name)
  }

  /** No channel is subscribed or about to be. */
  get isEmpty(): boolean {
    return this.size === 0 && this.#reservations === 0
  }

  /** Keeps the topic for a channel that is joining, until `unreserve`. */
  reserve(): void {
    this.#reservations++
  }

  unreserve(): void {
    this.#reservations--
  }

  /** Does not flush; otherwise N simultaneous joins would cost N² writes. */
  subscribe(subscriber: Subscriber, reads: Reads, position: JoinPosition | null = null): Subscription {
    const group = this.#groupFor(subscriber.version, reads)
    const subscription = { subscriber, group, index: group.subscriptions.length, firstPending: group.pending.length, position }
    this.#latestJoin = latestOf(this.#latestJoin, position)
    group.subscriptions.push(subscription)
    if (subscription.firstPending > 0) group.late.push(subscription)
    this.size++
    return subscription
  }

  /** Writes pending messages to the leaver only. If replies wait, flushes the topic. */
  unsubscribe(subscription: Subscription): void {
    this.#remove(subscription)
  }

  /** Changes the streams of a subscriber. Messages that were sent before still follow the old ones. */
  setReads(subscription: Subscription, reads: Reads): Subscription {
    this.#remove(subscription)
    return this.subscribe(subscription.subscriber, reads, subscription.position)
  }

  /** Whether pending messages may be for this subscriber. */
  hasPending({ group, firstPending }: Subscription): boolean {
    return group.pending.length > firstPending
  }

  /** Sends to all subscribers of the stream but the excepted. Returns the number of receivers. */
  fanOut(stream: Stream, message: TopicMessage, except: Except): number {
    const since = this.#scheduler.fanOutTimes.begin()
    const gather = this.#shouldGather()
    let receivers = 0
    for (const group of this.#groups) {
      if (group.subscriptions.length === 0 || !group.reads[stream]) continue
      const frame = this.#envelopes.encode(group.version, message)
      if (frame === null) continue
      receivers += group.subscriptions.length - exceptedIn(group, except)
      if (gather) this.#gather(group, frame, except)
      else writeToAll(group.subscriptions, frame, except)
    }
    if (since !== null && receivers > 0) {
      if (gather) this.#pendingSince.push(since)
      else this.#scheduler.fanOutTimes.written([since])
    }
    return receivers
  }

  /** Sends a message of the database, but not to channels that joined after it was committed (rules R4, R5). */
  fanOutStored(commit: MessageCommit | null, message: TopicMessage): number {
    for (const buffer of this.#buffers ?? []) buffer.holdStored(commit, message)
    return this.fanOut('broadcast', message, this.#joinedAfter(commit))
  }

  /** From here on, stored messages are held for a channel that is joining. */
  hold(buffer: StoredMessageBuffer): void {
    this.#buffers ??= new Set()
    this.#buffers.add(buffer)
  }

  stopHolding(buffer: StoredMessageBuffer): void {
    this.#buffers?.delete(buffer)
  }

  /** A frame for one subscriber, or `null` when its version cannot carry the message. */
  frameFor(subscriber: Subscriber, message: TopicMessage): Buffer | null {
    return this.#envelopes.encode(subscriber.version, message)
  }

  /**
   * Sends to one subscriber, after everything that was sent to the topic before. Calls in a row with the same payload
   * object share their frames.
   */
  deliverTo(subscriber: Subscriber, event: string, payload: Uint8Array): void {
    this.flush()
    if (this.#delivered?.payload !== payload || this.#delivered.event !== event) this.#delivered = { payload, event, frames: new Map() }
    const { frames } = this.#delivered
    let frame = frames.get(subscriber.version)
    if (frame === undefined) {
      frame = this.#envelopes.text(subscriber.version, event, payload)
      frames.set(subscriber.version, frame)
    }
    subscriber.write(frame, 1)
  }

  notifyGap(reason: BroadcastGap): void {
    for (const subscriber of this.subscribers()) subscriber.notifyGap(reason)
  }

  *subscribers(): Generator<Subscriber> {
    for (const { subscriptions } of this.#groups) for (const { subscriber } of subscriptions) yield subscriber
  }

  /** Whether messages wait for a flush. */
  get isGathering(): boolean {
    return this.#dirty
  }

  /** Runs `write` now, or after the flush if messages are pending: a reply never overtakes the message that it is about. */
  inOrder(write: () => void): void {
    if (this.#dirty) this.#afterFlush.push(write)
    else write()
  }

  /** Writes the pending messages. */
  flush(): void {
    if (!this.#dirty) return
    this.#dirty = false
    for (const group of this.#groups) if (group.pending.length > 0) flushGroup(group)
    if (this.#pendingSince.length > 0) {
      this.#scheduler.fanOutTimes.written(this.#pendingSince)
      this.#pendingSince = []
    }
    const writes = this.#afterFlush
    this.#afterFlush = []
    for (const write of writes) write()
  }

  /** Looks at the members only while this node reads what was committed before the latest join. */
  #joinedAfter(commit: MessageCommit | null): ReadonlySet<Subscriber> | null {
    const latest = this.#latestJoin
    if (commit === null || latest === null || !isBefore(commit, latest)) return null
    let late: Set<Subscriber> | null = null
    for (const { subscriptions } of this.#groups)
      for (const { subscriber, position } of subscriptions) if (isBehind(position, commit)) (late ??= new Set()).add(subscriber)
    return late
  }

  #remove(subscription: Subscription): void {
    // The reply to a leave must precede its phx_close.
    if (this.#afterFlush.length > 0) this.flush()
    else if (this.hasPending(subscription)) writeTo(subscription, subscription.group.pending.slice(subscription.firstPending))
    const { subscriptions } = subscription.group
    const last = subscriptions.pop()
    if (last !== undefined && last !== subscription) {
      subscriptions[subscription.index] = last
      last.index = subscription.index
    }
    this.size--
  }

  #gather(group: EncodingGroup, frame: Buffer, except: Except): void {
    group.pending.push({ frame, except })
    group.pendingBytes += frame.length
    this.#scheduler.gathered(group.pending.length)
    if (!this.#dirty) {
      this.#dirty = true
      this.#scheduler.atEnd(this.#flushAtEnd)
    }
    if (group.pendingBytes >= FLUSH_BYTES) flushGroup(group)
  }

  readonly #flushAtEnd = (): void => this.flush()

  /** Whether to gather: a lone message is written at once; when several come in a turn, gathering saves a write for each. */
  #shouldGather(): boolean {
    this.#scheduler.begin()
    if (this.#lastTurn !== this.#scheduler.turn) {
      this.#lastTurn = this.#scheduler.turn
      this.#messagesPerTurn += (this.#messagesInTurn - this.#messagesPerTurn) / 4
      this.#messagesInTurn = 0
    }
    this.#messagesInTurn++
    return this.#dirty || this.#messagesInTurn > 1 || this.#messagesPerTurn >= GATHER_FROM
  }

  #groupFor(version: Version, reads: Reads): EncodingGroup {
    for (const group of this.#groups)
      if (group.version === version && group.reads.broadcast === reads.broadcast && group.reads.presence === reads.presence) return group
    const group: EncodingGroup = { version, reads, subscriptions: [], pending: [], pendingBytes: 0, late: [] }
    this.#groups.push(group)
    return group
  }
}
