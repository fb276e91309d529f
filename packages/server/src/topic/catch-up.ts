import type { TopicMessage } from '../ports/topic.ts'
import type { Subscriber } from './subscriber.ts'

/** How long after a replay the live copy of a replayed message may still come. */
const LATE_COPIES_MS = 60_000

/**
 * A channel that is being given stored messages: what the database sends between the question for them and the
 * subscription is kept for it, and live copies of what was replayed are not sent to it again (rule R4).
 */
export class CatchUp {
  readonly subscriber: Subscriber
  readonly #missed: { readonly id: string; readonly message: TopicMessage }[] = []
  #replayed: ReadonlySet<string> | null = null
  #overAt = Infinity

  constructor(subscriber: Subscriber) {
    this.subscriber = subscriber
  }

  /** A stored message goes to the topic. Says whether this subscriber must not get it. */
  passes(id: string, message: TopicMessage): boolean {
    if (this.#replayed !== null) return this.#replayed.has(id)
    this.#missed.push({ id, message })
    return false
  }

  /** The channel subscribed and got these. Returns what it missed meanwhile, in order. */
  caughtUp(replayed: ReadonlySet<string>, now: number): TopicMessage[] {
    this.#replayed = replayed
    this.#overAt = now + LATE_COPIES_MS
    return this.#missed.splice(0).flatMap(({ id, message }) => (replayed.has(id) ? [] : [message]))
  }

  isOver(now: number): boolean {
    return now >= this.#overAt
  }
}
