import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import { formatTopicKey, type AdminTopic } from '@tidewire/protocol'

/** The key of a topic in lists: a public and a private one may have the same name. */
export function topicKey({ topic, private: isPrivate }: Pick<AdminTopic, 'topic' | 'private'>): string {
  return formatTopicKey({ name: topic, private: isPrivate })
}

/** The topics that have members, by name. */
export class TopicList {
  readonly filter: Signal<string> = signal('')
  readonly #topics: Signal<ReadonlyMap<string, AdminTopic>> = signal(new Map())
  readonly #more: Signal<number> = signal(0)

  /** The topics that pass the filter, by name. */
  readonly shown: ReadonlySignal<readonly AdminTopic[]> = computed(() => {
    const wanted = this.filter.value.trim().toLowerCase()
    return [...this.#topics.value.values()]
      .filter(({ topic }) => topic.toLowerCase().includes(wanted))
      .sort((a, b) => (a.topic === b.topic ? Number(a.private) - Number(b.private) : a.topic < b.topic ? -1 : 1))
  })

  /** How many there are, unlisted ones included. */
  readonly total: ReadonlySignal<number> = computed(() => this.#topics.value.size + this.#more.value)

  /** How many the server has beyond those it listed. */
  get more(): ReadonlySignal<number> {
    return this.#more
  }

  get(key: string): AdminTopic | undefined {
    return this.#topics.value.get(key)
  }

  replace(topics: readonly AdminTopic[], more: number): void {
    this.#topics.value = new Map(topics.map((topic) => [topicKey(topic), topic]))
    this.#more.value = more
  }

  change(topics: readonly AdminTopic[]): void {
    if (topics.length === 0) return
    const next = new Map(this.#topics.value)
    for (const topic of topics) {
      if (topic.members > 0) next.set(topicKey(topic), topic)
      else next.delete(topicKey(topic))
    }
    this.#topics.value = next
  }
}
