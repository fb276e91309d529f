import type { RealtimeChannelOptions, RealtimeClient } from '@tidewire/client'
import { LiveChannel, type Neighbours } from './live-channel.ts'

/** The channels of one client that components use, by topic and options. */
export class LiveChannels {
  readonly #client: RealtimeClient
  readonly #channels = new Map<string, LiveChannel>()
  readonly #neighbours: Neighbours = {
    isTaken: (channel) => this.#isTaken(channel),
    isAwaited: (channel) => this.#others(channel).some(({ isHeld }) => isHeld),
    ended: (channel) => this.#ended(channel),
  }

  constructor(client: RealtimeClient) {
    this.#client = client
  }

  find(key: string): LiveChannel | undefined {
    return this.#channels.get(key)
  }

  /** For effects only: a channel that is made here must be held. */
  take(key: string, topic: string, options: RealtimeChannelOptions): LiveChannel {
    const channel = this.#channels.get(key) ?? new LiveChannel(this.#client, topic, options, this.#neighbours)
    this.#channels.set(key, channel)
    return channel
  }

  #isTaken(channel: LiveChannel): boolean {
    const others = this.#others(channel)
    for (const other of others) other.endNow()
    return others.some((other) => other.channel !== null)
  }

  #ended(channel: LiveChannel): void {
    for (const [key, each] of this.#channels) if (each === channel) this.#channels.delete(key)
    for (const other of this.#others(channel)) other.sync()
  }

  #others(channel: LiveChannel): LiveChannel[] {
    return [...this.#channels.values()].filter((other) => other !== channel && other.topic === channel.topic)
  }
}

const known = new WeakMap<RealtimeClient, LiveChannels>()

/** Two providers with one client share its channels. */
export function liveChannelsOf(client: RealtimeClient): LiveChannels {
  const channels = known.get(client) ?? new LiveChannels(client)
  known.set(client, channels)
  return channels
}
