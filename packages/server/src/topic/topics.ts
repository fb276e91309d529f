import { wireTopic } from '@tidewire/protocol'
import { Topic } from './topic.ts'
import type { Turn } from './turn.ts'

/** The topics that have subscribers. A public and a private one of the same name are two (rule T3). */
export class Topics {
  readonly #turn: Turn
  readonly #public = new Map<string, Topic>()
  readonly #private = new Map<string, Topic>()

  constructor(turn: Turn) {
    this.#turn = turn
  }

  get size(): number {
    return this.#public.size + this.#private.size
  }

  /** Every topic, by its sub-topic. */
  *all(): Generator<{ readonly subTopic: string; readonly private: boolean; readonly topic: Topic }> {
    for (const [subTopic, topic] of this.#public) yield { subTopic, private: false, topic }
    for (const [subTopic, topic] of this.#private) yield { subTopic, private: true, topic }
  }

  find(subTopic: string, isPrivate: boolean): Topic | undefined {
    return (isPrivate ? this.#private : this.#public).get(subTopic)
  }

  /** The topic, made if it is not there: for somebody about to subscribe. */
  open(subTopic: string, isPrivate: boolean): Topic {
    const topics = isPrivate ? this.#private : this.#public
    let topic = topics.get(subTopic)
    if (topic === undefined) {
      topic = new Topic(wireTopic(subTopic), this.#turn)
      topics.set(subTopic, topic)
    }
    return topic
  }

  /** Forgets a topic that nobody is subscribed to any more. */
  closeIfEmpty(subTopic: string, isPrivate: boolean): void {
    const topics = isPrivate ? this.#private : this.#public
    if (topics.get(subTopic)?.isEmpty === true) topics.delete(subTopic)
  }
}
