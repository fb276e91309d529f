import type { Relay } from '../ports/relay.ts'
import type { TopicKey } from '../ports/topic.ts'
import type { FlushScheduler } from './flush-scheduler.ts'
import { Topic } from './topic.ts'

/** Topics with a subscriber, or reserved for a channel that is joining. A public and a private topic of one name are two (rule T3). */
export class Topics {
  readonly #scheduler: FlushScheduler
  readonly #relay: Pick<Relay, 'interest'> | null
  readonly #public = new Map<string, Topic>()
  readonly #private = new Map<string, Topic>()

  constructor(scheduler: FlushScheduler, relay: Pick<Relay, 'interest'> | null) {
    this.#scheduler = scheduler
    this.#relay = relay
  }

  get size(): number {
    return this.#public.size + this.#private.size
  }

  *all(): Generator<Topic> {
    yield* this.#public.values()
    yield* this.#private.values()
  }

  find(key: TopicKey): Topic | undefined {
    return this.#of(key).get(key.name)
  }

  /** The topic, created if it is not there, for a channel that is about to subscribe. */
  open(key: TopicKey): Topic {
    const topics = this.#of(key)
    let topic = topics.get(key.name)
    if (topic === undefined) {
      topic = new Topic(key, this.#scheduler, this.#relay?.interest(key))
      topics.set(key.name, topic)
    }
    return topic
  }

  closeIfEmpty(key: TopicKey): void {
    const topics = this.#of(key)
    const topic = topics.get(key.name)
    if (topic === undefined || !topic.isEmpty) return
    topics.delete(key.name)
    topic.interest?.release()
  }

  /**
   * `null`: messages of other nodes come already, or there are no other nodes. Else a promise of whether they come, `false` after a
   * second.
   */
  relayed(key: TopicKey): Promise<boolean> | null {
    if (this.#relay === null) return null
    // Asks only for the state: the topic holds an interest of its own from `open` on.
    const interest = this.#relay.interest(key)
    interest.release()
    return interest.ready
  }

  #of(key: TopicKey): Map<string, Topic> {
    return key.private ? this.#private : this.#public
  }
}
