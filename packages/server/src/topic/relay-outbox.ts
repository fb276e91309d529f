import { formatTopicKey } from '@tidewire/protocol'
import type { Relay } from '../ports/relay.ts'
import type { TopicKey, TopicMessage } from '../ports/topic.ts'
import type { FlushScheduler } from './flush-scheduler.ts'

/** Pending messages of one topic are sent at this size, before the end of the turn. */
const FLUSH_BYTES = 64 * 1024

interface Pending {
  readonly key: TopicKey
  messages: TopicMessage[]
  bytes: number
}

/**
 * Gathers messages for other nodes: a relay message costs the same whether it carries one broadcast or many. A lone broadcast
 * goes at once. Those of its topic that follow in the turn go together at its end.
 */
export class RelayOutbox {
  readonly #relay: Pick<Relay, 'publish'>
  readonly #scheduler: Pick<FlushScheduler, 'atEnd' | 'gathered'>
  /** The topics of this turn, by id. */
  readonly #topics = new Map<string, Pending>()

  constructor(relay: Pick<Relay, 'publish'>, scheduler: Pick<FlushScheduler, 'atEnd' | 'gathered'>) {
    this.#relay = relay
    this.#scheduler = scheduler
  }

  /** `gather`: the topic is busy, so that it is better to wait for the end of the turn. To be called after local delivery. */
  add(key: TopicKey, message: TopicMessage, bytes: number, gather: boolean): void {
    const id = formatTopicKey(key)
    let pending = this.#topics.get(id)
    if (pending === undefined) {
      if (this.#topics.size === 0) this.#scheduler.atEnd(this.#flush)
      pending = { key, messages: [], bytes: 0 }
      this.#topics.set(id, pending)
      if (!gather) return void this.#relay.publish(key, [message])
    }
    pending.messages.push(message)
    pending.bytes += bytes
    this.#scheduler.gathered(pending.messages.length)
    if (pending.bytes >= FLUSH_BYTES) this.#send(pending)
  }

  readonly #flush = (): void => {
    const topics = [...this.#topics.values()]
    this.#topics.clear()
    for (const pending of topics) if (pending.messages.length > 0) this.#send(pending)
  }

  #send(pending: Pending): void {
    const { messages } = pending
    pending.messages = []
    pending.bytes = 0
    this.#relay.publish(pending.key, messages)
  }
}
