import type { JoinPosition, MessageCommit } from '../ports/log.ts'
import type { TopicKey, TopicMessage } from '../ports/topic.ts'
import type { Reads, StoredMessageBuffer, Subscriber } from '../topic/subscriber.ts'
import type { Subscription } from '../topic/encoding-group.ts'
import { isBehind } from '../topic/join-position.ts'
import type { Topic } from '../topic/topic.ts'
import type { Topics } from '../topic/topics.ts'

/** A channel in its topic: a reservation while it joins, with a buffer for stored messages (rule R4), then a subscription. */
export class TopicMembership {
  readonly key: TopicKey
  readonly #subscriber: Subscriber
  readonly #topics: Topics
  #topic: Topic | null = null
  #subscription: Subscription | null = null
  #buffer: StoredMessageBuffer | null = null
  #isReserved = false
  #position: JoinPosition | null = null

  constructor(subscriber: Subscriber, topics: Topics, key: TopicKey) {
    this.key = key
    this.#subscriber = subscriber
    this.#topics = topics
  }

  /** The topic, from the first subscription on. It is kept after the leave. */
  get topic(): Topic | null {
    return this.#topic
  }

  /** `null` before the join and after the leave. */
  get subscription(): Subscription | null {
    return this.#subscription
  }

  /** Opens the topic. Returns `null` when the messages of other nodes come already; else a promise that settles when they do, or after a second. */
  attach(): Promise<boolean> | null {
    this.#reserve()
    return this.#topics.relayed(this.key)
  }

  /** Whether the messages of other nodes are known to come. */
  get isRelayed(): boolean {
    return this.#topics.relayed(this.key) === null
  }

  /** Has the buffer hold the stored messages that are sent to the topic from now on. */
  hold(buffer: StoredMessageBuffer): void {
    this.#buffer = buffer
    this.#reserve().hold(buffer)
  }

  /** Sets where in the log the channel joins. To be called before `subscribe`. */
  joinAt(position: JoinPosition | null): void {
    this.#position = position
  }

  /** Whether a stored message was committed before the channel joined. */
  isBehind(commit: MessageCommit | null): boolean {
    return isBehind(this.#position, commit)
  }

  subscribe(reads: Reads): Topic {
    this.#topic = this.#topics.open(this.key)
    this.#subscription = this.#topic.subscribe(this.#subscriber, reads, this.#position)
    this.#release()
    return this.#topic
  }

  /** Whether pending messages may be for this channel. */
  get hasPending(): boolean {
    return this.#topic !== null && this.#subscription !== null && this.#topic.hasPending(this.#subscription)
  }

  /** Sends to this subscriber, after everything that was sent to the topic before. */
  deliver(event: string, payload: Uint8Array): void {
    this.#topic?.deliverTo(this.#subscriber, event, payload)
  }

  /** A frame for this subscriber, or `null` when its version cannot carry the message. */
  frameFor(message: TopicMessage): Buffer | null {
    return this.#topic?.frameFor(this.#subscriber, message) ?? null
  }

  setReads(reads: Reads): void {
    if (this.#topic !== null && this.#subscription !== null) this.#subscription = this.#topic.setReads(this.#subscription, reads)
  }

  /** Returns the topic, or `null` when there was no subscription. */
  unsubscribe(): Topic | null {
    if (this.#topic === null || this.#subscription === null) return null
    this.#topic.unsubscribe(this.#subscription)
    this.#subscription = null
    return this.#topic
  }

  close(): void {
    this.#release()
    this.#topics.closeIfEmpty(this.key)
  }

  #reserve(): Topic {
    const topic = this.#topics.open(this.key)
    if (!this.#isReserved) topic.reserve()
    this.#isReserved = true
    return topic
  }

  #release(): void {
    if (!this.#isReserved) return
    this.#isReserved = false
    const topic = this.#topics.open(this.key)
    topic.unreserve()
    if (this.#buffer !== null) topic.stopHolding(this.#buffer)
    this.#buffer = null
  }
}
