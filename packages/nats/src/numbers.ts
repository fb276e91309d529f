import type { Beat } from './envelope.ts'

/** A topic that this node has sent on since its last beat. */
export interface SentTopic {
  /** `null` while it is not known. */
  subject: string | null
  /** The number of the last batch; 0: none was sent. */
  number: number
}

/** The keys of topics that wait for a beat: with some thousand it is time for one. */
const MAX_KEY_CHARS = 64 * 1024

/**
 * One count for all that a node sends to all others: every batch and every beat takes the next number, also one that could not be
 * sent. Topics are remembered from beat to beat only, since a beat says of each how far it has come.
 */
export class Numbers {
  readonly #topics = new Map<string, SentTopic>()
  #chars = 0
  #last = 0
  #lastBeat = 0

  get last(): number {
    return this.#last
  }

  get isFull(): boolean {
    return this.#chars >= MAX_KEY_CHARS
  }

  next(): number {
    return ++this.#last
  }

  topic(key: string): SentTopic {
    const present = this.#topics.get(key)
    if (present !== undefined) return present
    const topic = { subject: null, number: 0 }
    this.#topics.set(key, topic)
    this.#chars += key.length
    return topic
  }

  /** Takes the numbers for the next beat. */
  beat(): Pick<Beat, 'number' | 'previous' | 'sent'> {
    const sent = Array.from(this.#topics, ([key, { number }]) => [key, number] as const)
    this.#topics.clear()
    this.#chars = 0
    const previous = this.#lastBeat
    this.#lastBeat = this.next()
    return { number: this.#lastBeat, previous, sent }
  }
}
