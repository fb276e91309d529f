import type { Topic, Seat } from '../topic/topic.ts'
import type { CatchUp } from '../topic/catch-up.ts'
import type { TopicMessage } from '../ports/topic.ts'
import type { Reads, Subscriber } from '../topic/subscriber.ts'
import type { Topics } from '../topic/topics.ts'

/** A channel's place in its topic: a seat once it joined, and what is kept for it while stored messages are read (rule R4). */
export class Place {
  readonly #subscriber: Subscriber
  readonly #topics: Topics
  readonly #subTopic: string
  readonly #isPrivate: boolean
  #topic: Topic | null = null
  #seat: Seat | null = null
  #catchUp: CatchUp | null = null

  constructor(subscriber: Subscriber, topics: Topics, subTopic: string, isPrivate: boolean) {
    this.#subscriber = subscriber
    this.#topics = topics
    this.#subTopic = subTopic
    this.#isPrivate = isPrivate
  }

  /** The topic, from the first seat on; it stays while the channel takes its leave of it. */
  get topic(): Topic | null {
    return this.#topic
  }

  /** From here on, what the database sends is kept for the channel. */
  beginCatchUp(): void {
    this.#catchUp = this.#open().beginCatchUp(this.#subscriber)
  }

  take(reads: Reads): Topic {
    this.#topic = this.#open()
    this.#seat = this.#topic.subscribe(this.#subscriber, reads)
    return this.#topic
  }

  /** The stored messages with these ids are written. Returns what came meanwhile and is not among them, in order. */
  caughtUp(replayed: ReadonlySet<string>, now: number): readonly TopicMessage[] {
    return this.#catchUp?.caughtUp(replayed, now) ?? []
  }

  /** Whether messages are pending that the channel may have to get. */
  get isOwed(): boolean {
    return this.#topic !== null && this.#seat !== null && this.#topic.owes(this.#seat)
  }

  setReads(reads: Reads): void {
    if (this.#topic !== null && this.#seat !== null) this.#seat = this.#topic.setReads(this.#seat, reads)
  }

  /** Gives the seat back. Returns the topic, or `null` when there was no seat. */
  leave(): Topic | null {
    if (this.#topic === null || this.#seat === null) return null
    this.#topic.unsubscribe(this.#seat)
    this.#seat = null
    return this.#topic
  }

  /** Nothing more is wanted of the topic. */
  close(): void {
    if (this.#catchUp !== null) this.#topics.find(this.#subTopic, this.#isPrivate)?.endCatchUp(this.#catchUp)
    this.#catchUp = null
    this.#topics.closeIfEmpty(this.#subTopic, this.#isPrivate)
  }

  #open(): Topic {
    return this.#topics.open(this.#subTopic, this.#isPrivate)
  }
}
