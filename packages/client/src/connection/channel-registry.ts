import { RealtimeError } from '@tidewire/protocol'
import type { HostedChannel } from '../channel/ports.ts'

/** The channels of a client by topic. */
export class ChannelRegistry {
  /** The `RealtimeChannel`s. The array is replaced when one comes or goes. */
  owners: readonly object[] = []
  readonly #byTopic = new Map<string, HostedChannel>()

  find(topic: string): HostedChannel | undefined {
    return this.#byTopic.get(topic)
  }

  /** Iterates over a copy: `act` may run user code that adds or removes channels. */
  each(act: (channel: HostedChannel) => void): void {
    for (const channel of [...this.#byTopic.values()]) act(channel)
  }

  /** Throws when another channel has the topic. */
  add(channel: HostedChannel): void {
    const { topic } = channel
    const existing = this.find(topic)
    if (existing === channel) return
    if (existing !== undefined) throw new RealtimeError('already-joined', `Another channel has the topic ${topic}: use or remove it.`)
    this.#byTopic.set(topic, channel)
    this.owners = [...this.owners, channel.owner]
  }

  /** Whether it was there. */
  remove(channel: HostedChannel): boolean {
    const isThere = this.find(channel.topic) === channel
    if (isThere) {
      this.#byTopic.delete(channel.topic)
      this.owners = this.owners.filter((owner) => owner !== channel.owner)
    }
    return isThere
  }
}
