import type {
  PresenceSnapshot,
  RealtimeChannel,
  RealtimeChannelOptions,
  RealtimeChannelSendResponse,
  UntypedDatabase,
  UntypedEvents,
  UntypedRow,
} from '@tidewire/client'
import { CLOSED, NO_PRESENCES, notMounted, type ChannelStatus, type LiveChannel } from './live-channel.ts'
import type { LiveChannels } from './live-channels.ts'
import type { Handler, Wanted } from './listening.ts'

const channelRefs = new WeakMap<object, ChannelRef>()

/** The hooks' own access to a channel. */
export function channelRefOf(channel: { readonly topic: string }): ChannelRef {
  return channelRefs.get(channel)!
}

/** The result of `useChannel`: it names a channel. Nothing happens until a component that uses it is mounted. */
export class SharedChannel<Events extends object = UntypedEvents, Meta extends object = UntypedRow, Database = UntypedDatabase> {
  readonly topic: string

  constructor(channels: LiveChannels, topic: string, options: () => RealtimeChannelOptions, key: string) {
    this.topic = topic
    channelRefs.set(this, new ChannelRef(channels, topic, options, key))
  }

  /** The client's channel while a component that uses it is mounted, else `null`. For calls that have no hook. Do not subscribe or unsubscribe it. */
  get current(): RealtimeChannel<Events, Database, Meta> | null {
    return (channelRefOf(this).found?.channel ?? null) as RealtimeChannel<Events, Database, Meta> | null
  }

  /**
   * Sends a broadcast; before the join it waits. Resolves with `ok`, `timed out` or `error`. Rejects with a RealtimeError
   * when no component uses the channel, and for a payload that cannot be written.
   */
  send<Event extends keyof Events & string>(event: Event, payload: Events[Event]): Promise<RealtimeChannelSendResponse> {
    return channelRefOf(this).ask((channel) => channel.send(event, payload))
  }
}

/** Finds the channel of a name. Only effects make one that is missing. */
export class ChannelRef {
  readonly #channels: LiveChannels
  readonly #topic: string
  readonly #options: () => RealtimeChannelOptions
  readonly #key: string

  constructor(channels: LiveChannels, topic: string, options: () => RealtimeChannelOptions, key: string) {
    this.#channels = channels
    this.#topic = topic
    this.#options = options
    this.#key = key
  }

  get found(): LiveChannel | undefined {
    return this.#channels.find(this.#key)
  }

  readonly status = (): ChannelStatus => this.found?.status ?? CLOSED

  readonly presences = (): PresenceSnapshot => this.found?.presences ?? NO_PRESENCES

  /** Holds the channel with whatever `use` does to it, until the function that is returned is called. */
  hold(use: (channel: LiveChannel) => () => void): () => void {
    const channel = this.#channels.take(this.#key, this.#topic, this.#options())
    const release = channel.hold()
    const undo = use(channel)
    return () => {
      undo()
      release()
    }
  }

  readonly join = (): (() => void) => this.hold(() => () => {})

  readonly watchStatus = (changed: () => void): (() => void) => this.hold((channel) => channel.watch(changed))

  readonly watchPresences = (changed: () => void): (() => void) =>
    this.hold((channel) => {
      const undo = [channel.listen({ type: 'presence' }, changed), channel.watch(changed)]
      return () => undo.forEach((each) => each())
    })

  listen(wanted: Wanted, handler: Handler): () => void {
    return this.hold((channel) => channel.listen(wanted, handler))
  }

  ask(run: (channel: LiveChannel) => Promise<RealtimeChannelSendResponse>): Promise<RealtimeChannelSendResponse> {
    const { found } = this
    if (found !== undefined) return run(found)
    return Promise.reject(notMounted(this.#topic))
  }
}

/** Equal for equal options in any order. The start of a replay is read at the join, and makes no other channel. */
export function channelKey(topic: string, options: RealtimeChannelOptions): string {
  return JSON.stringify([topic, options], (name, value: unknown) => {
    if (name === 'replay') return undefined
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
