import type { TopicKey } from '../ports/topic.ts'
import type { FlushScheduler } from './flush-scheduler.ts'
import { Topic } from './topic.ts'

/** The topics that have subscribers. A public and a private topic of one name are two (rule T3). */
export class Topics {
  readonly #scheduler: FlushScheduler
  readonly #public = new Map<string, Topic>()
  readonly #private = new Map<string, Topic>()

  constructor(scheduler: FlushScheduler) {
    this.#scheduler = scheduler
  }

  get size(): number {
    return this.#public.size + this.#private.size
  }

  *all(): Generator<Topic> {
    yield* this.#public.values()
    yield* this.#private.values()
  }

  find({ name, private: isPrivate }: TopicKey): Topic | undefined {
    return (isPrivate ? this.#private : this.#public).get(name)
  }

  /** The topic, created if it is not there, for a channel that is about to subscribe. */
  open(key: TopicKey): Topic {
    let topic = this.find(key)
    if (topic === undefined) {
      topic = new Topic(key, this.#scheduler)
      this.#of(key).set(key.name, topic)
    }
    return topic
  }

  closeIfEmpty(key: TopicKey): void {
    if (this.find(key)?.isEmpty === true) this.#of(key).delete(key.name)
  }

  #of(key: TopicKey): Map<string, Topic> {
    return key.private ? this.#private : this.#public
  }
}
