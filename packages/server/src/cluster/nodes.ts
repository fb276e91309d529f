import { parseTopicKey, type PresenceDiff } from '@tidewire/protocol'
import type { Observer } from '../ports/observe.ts'
import type { NodeChannel, PeerEvent, Relay, RelayFault, RelayLink, RelayListener } from '../ports/relay.ts'
import type { Runtime } from '../ports/runtime.ts'
import type { NodeAdmin } from './node-admin.ts'
import type { TopicKey, TopicMessage } from '../ports/topic.ts'
import { PresenceReplication } from '../presence/presence-replication.ts'
import type { PresenceDiffs } from '../presence/presence-diff.ts'
import type { StepQueue } from '../limits/step-queue.ts'
import type { PresenceTracker } from '../presence/presence-tracker.ts'
import type { Publisher } from '../topic/publisher.ts'
import type { Topics } from '../topic/topics.ts'

export interface NodesOptions {
  readonly runtime: Runtime
  readonly relay: Relay
  readonly topics: Topics
  readonly publisher: Publisher
  readonly presence: PresenceTracker<object>
  readonly admin: Pick<NodeAdmin, 'onNodeMessage'>
  readonly observer: Observer
  readonly steps: StepQueue
}

const POLL_MS = 20
const GREETING_MS = 250

/** The other nodes: publishes their messages here, keeps presence equal, and notifies channels of gaps. */
export class Nodes implements RelayListener {
  readonly #runtime: Runtime
  readonly #relay: Relay
  readonly #topics: Topics
  readonly #publisher: Publisher
  readonly #presence: PresenceReplication
  readonly #admin: Pick<NodeAdmin, 'onNodeMessage'>
  readonly #observer: Observer

  constructor({ runtime, relay, topics, publisher, presence, admin, observer, steps }: NodesOptions) {
    this.#runtime = runtime
    this.#relay = relay
    this.#topics = topics
    this.#publisher = publisher
    this.#observer = observer
    this.#admin = admin
    this.#presence = new PresenceReplication({
      runtime,
      relay,
      tracker: presence,
      steps,
      announce: (diffs) => this.#announce(diffs),
      fault: (detail) => this.onFault({ code: 'malformed', detail, count: 1 }),
    })
  }

  start(): void {
    this.#relay.start(this)
    this.#presence.start()
  }

  /**
   * Resolves when this node holds the presence of the others, or after `withinMs`: a client that joined before would see a
   * presence without the members of other nodes.
   */
  async synchronized(withinMs: number): Promise<void> {
    const deadline = this.#runtime.uptime() + withinMs
    while (!this.#isSynchronized() && this.#runtime.uptime() < deadline)
      await new Promise<void>((resolve) => void this.#runtime.setTimer(resolve, POLL_MS))
  }

  #isSynchronized(): boolean {
    const { link, peers } = this.#relay
    // The others answer the first heartbeat of a node at once.
    if (link.state !== 'up' || this.#runtime.uptime() - link.sinceUptimeMs < GREETING_MS) return false
    return this.#presence.holdsAllOf(peers.map(({ instance }) => instance))
  }

  /** Notifies the other nodes that the clients of this one are about to come back on them, within `spreadMs`. */
  leave(spreadMs: number): void {
    this.#relay.leave(spreadMs)
    this.#presence.leave(spreadMs)
  }

  async close(): Promise<void> {
    this.#presence.stop()
    await this.#relay.close()
  }

  /** To be called after every change of an entry of this node. */
  presenceChanged(): void {
    this.#presence.changed()
  }

  onMessage(topic: TopicKey, messages: readonly TopicMessage[]): void {
    for (const message of messages) this.#publisher.publish(topic, message, { kind: 'relay' })
  }

  onNodeMessage(channel: NodeChannel, bytes: Uint8Array, from: string): void {
    if (channel === 'presence') return this.#presence.onNodeMessage(bytes, from)
    const detail = this.#admin.onNodeMessage(bytes, from)
    if (detail !== null) this.onFault({ code: 'malformed', detail, count: 1 })
  }

  onPeer(event: PeerEvent): void {
    this.#observer.nodeEvent?.({ kind: 'peer', event })
    this.#presence.onPeer(event)
  }

  onGap(topics: 'all' | readonly TopicKey[]): void {
    this.#observer.nodeEvent?.({ kind: 'gap', topics })
    if (topics === 'all') for (const topic of this.#topics.all()) topic.notifyGap('relay-lost')
    else for (const key of topics) this.#topics.find(key)?.notifyGap('relay-lost')
  }

  onLink(link: RelayLink): void {
    this.#observer.nodeEvent?.({ kind: 'link', link })
    this.#presence.onLink(link)
  }

  onFault(fault: RelayFault): void {
    this.#observer.nodeEvent?.({ kind: 'fault', fault })
  }

  /** Every node holds the presence of all topics; a diff is written only where the topic has members. */
  #announce(diffs: PresenceDiffs): void {
    for (const [id, diff] of diffs) {
      const key = parseTopicKey(id)
      if (this.#topics.find(key) === undefined) continue
      const message = { kind: 'text', event: 'presence_diff', payload: Buffer.from(JSON.stringify(diff)) } as const
      this.#publisher.publish(key, message, { kind: 'presence', change: changeOf(diff), connection: null })
    }
  }
}

function changeOf({ joins }: PresenceDiff): 'track' | 'untrack' {
  return Object.keys(joins).length > 0 ? 'track' : 'untrack'
}
