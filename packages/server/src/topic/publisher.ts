import { traceparentOf, wireTopic } from '@tidewire/protocol'
import type { MessageCommit } from '../ports/log.ts'
import type { Observer, SentMessage, Tracer } from '../ports/observe.ts'
import type { Runtime } from '../ports/runtime.ts'
import type { TopicKey, TopicMessage } from '../ports/topic.ts'
import type { RelayOutbox } from './relay-outbox.ts'
import type { Subscription } from './encoding-group.ts'
import type { Topic } from './topic.ts'
import type { Topics } from './topics.ts'

/** Where a message comes from. Decides which subscribers are left out, and whether other nodes still have to get it. */
export type Origin =
  /** `except`: the sender, where it does not want its own messages. */
  | { readonly kind: 'socket'; readonly connection: string; readonly except: Subscription | null; readonly traceparent: string | null }
  | { readonly kind: 'http'; readonly traceparent: string | null }
  /** `committedAt`: Unix milliseconds by the clock of the database. */
  | {
      readonly kind: 'database'
      readonly commit: MessageCommit | null
      readonly committedAt: number | null
      readonly traceparent: string | null
    }
  /** `connection`: `null` where the presence is that of another node. */
  | { readonly kind: 'presence'; readonly change: 'track' | 'untrack'; readonly connection: string | null }
  /** Published on another node. */
  | { readonly kind: 'relay' }

export interface PublisherOptions {
  readonly runtime: Pick<Runtime, 'now'>
  readonly topics: Topics
  readonly observer: Observer
  readonly tracer: Tracer | null
  /** `null`: there are no other nodes. */
  readonly outbox: RelayOutbox | null
}

/**
 * The one way to publish to a topic: fans out to the subscribers of this node, notifies observers and tracing, and hands on to other
 * nodes. Row changes are not published: each is delivered to the subscribers that may see it.
 */
export class Publisher {
  readonly #runtime: Pick<Runtime, 'now'>
  readonly #topics: Topics
  readonly #observer: Observer
  readonly #tracer: Tracer | null
  readonly #outbox: RelayOutbox | null

  constructor({ runtime, topics, observer, tracer, outbox }: PublisherOptions) {
    this.#runtime = runtime
    this.#topics = topics
    this.#observer = observer
    this.#tracer = tracer
    this.#outbox = outbox
  }

  /** Returns the number of receivers on this node. Observers are notified of messages without receivers, too. */
  publish(key: TopicKey, message: TopicMessage, origin: Origin): number {
    const topic = this.#topics.find(key)
    const name = topic === undefined ? wireTopic(key.name) : topic.name
    const sent = sentMessage(key, message, origin)
    const bytes = sent.payload.length
    const endSpan = this.#tracer === null ? null : this.#beginSpan(this.#tracer, name, message, bytes, origin)
    const receivers = topic === undefined ? 0 : this.#fanOut(topic, message, origin)
    this.#observer.broadcast(name, receivers, bytes, sent)
    if (endSpan !== null || origin.kind === 'database') this.#whenWritten(topic, receivers, endSpan, origin)
    // Presence has its own replication. Messages of the database or a relay reach every node by themselves.
    if (this.#outbox !== null && (origin.kind === 'socket' || origin.kind === 'http'))
      this.#outbox.add(key, message, bytes, topic !== undefined && topic.isGathering)
    return receivers
  }

  #fanOut(topic: Topic, message: TopicMessage, origin: Origin): number {
    if (origin.kind === 'presence') return topic.fanOut('presence', message, null)
    if (origin.kind === 'database') return topic.fanOutStored(origin.commit, message)
    return topic.fanOut('broadcast', message, origin.kind === 'socket' ? origin.except : null)
  }

  /** The clock of the database may be ahead, so a span never begins later than now. */
  #beginSpan(tracer: Tracer, name: string, message: TopicMessage, bytes: number, origin: Origin): ReturnType<Tracer['broadcast']> | null {
    if (origin.kind === 'presence') return null
    const since = origin.kind === 'database' && origin.committedAt !== null ? Math.min(origin.committedAt, this.#runtime.now()) : null
    const traceparent =
      'traceparent' in origin ? origin.traceparent : message.kind === 'user' ? traceparentOf(message.broadcast.metadata) : null
    return tracer.broadcast(name, traceparent, bytes, since)
  }

  #whenWritten(topic: Topic | undefined, receivers: number, endSpan: ReturnType<Tracer['broadcast']> | null, origin: Origin): void {
    const committedAt = origin.kind === 'database' && this.#observer.storedFannedOut !== undefined ? origin.committedAt : null
    if (endSpan === null && committedAt === null) return
    const written = (): void => {
      endSpan?.(receivers)
      if (committedAt !== null) this.#observer.storedFannedOut?.(Math.max(0, this.#runtime.now() - committedAt))
    }
    if (topic === undefined) written()
    else topic.inOrder(written)
  }
}

/** Runs for every message: one object literal gives all results one hidden class. */
function sentMessage(key: TopicKey, message: TopicMessage, origin: Origin): SentMessage {
  const isUser = message.kind === 'user'
  return {
    kind: origin.kind === 'presence' ? origin.change : 'broadcast',
    private: key.private,
    connection: origin.kind === 'socket' || origin.kind === 'presence' ? origin.connection : null,
    event: isUser ? message.broadcast.event : origin.kind === 'presence' ? message.event : null,
    encoding: isUser ? message.broadcast.encoding : message.kind === 'text' ? 'json' : 'binary',
    payload: isUser ? message.broadcast.bytes : message.kind === 'text' ? message.payload : message.bytes,
  }
}
