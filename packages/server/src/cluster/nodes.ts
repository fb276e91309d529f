import type { Observer } from '../ports/observe.ts'
import type { NodeChannel, PeerEvent, Relay, RelayFault, RelayLink, RelayListener } from '../ports/relay.ts'
import type { TopicKey, TopicMessage } from '../ports/topic.ts'
import type { Publisher } from '../topic/publisher.ts'
import type { Topics } from '../topic/topics.ts'

export interface NodesOptions {
  readonly relay: Relay
  readonly topics: Topics
  readonly publisher: Publisher
  readonly observer: Observer
}

/** The other nodes, as they concern this one: publishes what they relay, and notifies channels of gaps. */
export class Nodes implements RelayListener {
  readonly #relay: Relay
  readonly #topics: Topics
  readonly #publisher: Publisher
  readonly #observer: Observer

  constructor({ relay, topics, publisher, observer }: NodesOptions) {
    this.#relay = relay
    this.#topics = topics
    this.#publisher = publisher
    this.#observer = observer
  }

  start(): void {
    this.#relay.start(this)
  }

  onMessage(topic: TopicKey, messages: readonly TopicMessage[]): void {
    for (const message of messages) this.#publisher.publish(topic, message, { kind: 'relay' })
  }

  onNodeMessage(_channel: NodeChannel, _bytes: Uint8Array, _from: string): void {}

  onPeer(event: PeerEvent): void {
    this.#observer.nodeEvent?.({ kind: 'peer', event })
  }

  onGap(topics: 'all' | readonly TopicKey[]): void {
    this.#observer.nodeEvent?.({ kind: 'gap', topics })
    if (topics === 'all') for (const topic of this.#topics.all()) topic.notifyGap('relay-lost')
    else for (const key of topics) this.#topics.find(key)?.notifyGap('relay-lost')
  }

  onLink(link: RelayLink): void {
    this.#observer.nodeEvent?.({ kind: 'link', link })
  }

  onFault(fault: RelayFault): void {
    this.#observer.nodeEvent?.({ kind: 'fault', fault })
  }
}
