import {
  RealtimeError,
  type ChannelHandle,
  type PresenceSnapshot,
  type RealtimeChannel,
  type RealtimeChannelOptions,
  type RealtimeChannelSendResponse,
  type RealtimeClient,
  type SubscribeStatus,
  type UntypedDatabase,
  type UntypedEvents,
  type UntypedRow,
} from '@tidewire/client'
import { RefCount } from './ref-count.ts'
import { Listening, type Handler, type Wanted } from './listening.ts'
import { TrackedPresence } from './tracked-presence.ts'

/**
 * The state of a channel. `error` says why it is `errored` or was `closed`, or why Postgres changes are refused or withheld
 * although it is `joined`; `hint` says what mends that.
 */
export interface ChannelStatus {
  readonly state: 'closed' | 'joining' | 'joined' | 'errored'
  readonly error: RealtimeError | null
}

export const CLOSED: ChannelStatus = { state: 'closed', error: null }
export const NO_PRESENCES: PresenceSnapshot = Object.freeze(Object.create(null) as PresenceSnapshot)

/** The other channels of a client, as one of them needs them. */
export interface Neighbours {
  /** Whether another channel has this topic with other options. One that no component holds is ended. */
  isTaken(channel: LiveChannel): boolean
  /** Whether a component waits for this topic, to join it with other options. */
  isAwaited(channel: LiveChannel): boolean
  ended(channel: LiveChannel): void
}

/**
 * A channel that mounted components use. Their requests are collected and applied in the next microtask, when all effects of
 * the commit have run: one join has everything, and a request that is taken back at once is never made.
 */
export class LiveChannel {
  readonly topic: string
  readonly #client: RealtimeClient
  readonly #options: RealtimeChannelOptions
  readonly #neighbours: Neighbours
  readonly #refCount: RefCount = new RefCount(() => this.#end())
  readonly #listenings = new Map<string, Listening>()
  readonly #watchers = new Set<() => void>()
  readonly #presence = new TrackedPresence()
  #handle: ChannelHandle<UntypedEvents, UntypedDatabase, UntypedRow> | null = null
  #status: ChannelStatus = CLOSED
  #syncing: Promise<void> | null = null
  #isRejoining = false

  constructor(client: RealtimeClient, topic: string, options: RealtimeChannelOptions, neighbours: Neighbours) {
    this.#client = client
    this.topic = topic
    this.#options = options
    this.#neighbours = neighbours
  }

  get channel(): RealtimeChannel | null {
    return this.#handle?.channel ?? null
  }

  get isHeld(): boolean {
    return this.#refCount.isHeld
  }

  get status(): ChannelStatus {
    return this.#status
  }

  get presences(): PresenceSnapshot {
    return this.channel?.presenceState() ?? NO_PRESENCES
  }

  hold(): () => void {
    const release = this.#refCount.hold()
    this.sync()
    return release
  }

  /** Leaves at once, if it has no holder. */
  endNow(): void {
    this.#refCount.endNow()
  }

  watch(changed: () => void): () => void {
    this.#watchers.add(changed)
    return () => this.#watchers.delete(changed)
  }

  listen(wanted: Wanted, handler: Handler): () => void {
    const key = JSON.stringify(wanted)
    const listening = this.#listenings.get(key) ?? new Listening(wanted)
    this.#listenings.set(key, listening)
    // The same function may be given by two components.
    const own: Handler = (payload) => handler(payload)
    listening.handlers.add(own)
    this.sync()
    return () => {
      listening.handlers.delete(own)
      this.sync()
    }
  }

  /** Tracks the payload for this owner, until `untrack`. */
  track(owner: object, payload: UntypedRow): Promise<RealtimeChannelSendResponse> {
    this.#presence.track(owner, payload)
    return this.#whenJoined(() => this.#presence.send(this.channel))
  }

  /** Shows what another owner tracks again, if one does. */
  untrack(owner: object): Promise<RealtimeChannelSendResponse> {
    this.#presence.untrack(owner)
    return this.#whenJoined(() => this.#presence.send(this.channel))
  }

  /** As `untrack`, for an owner that has unmounted and may be back at once. */
  forget(owner: object): void {
    this.#presence.untrack(owner)
    this.sync()
  }

  /** As `track`, for an owner that has just mounted. */
  remember(owner: object, payload: UntypedRow): void {
    this.#presence.remember(owner, payload)
    this.sync()
  }

  /** Waits for the join, then sends. Rejects with a RealtimeError when the channel has no holder, and on misuse. */
  send(event: string, payload: unknown): Promise<RealtimeChannelSendResponse> {
    return this.#whenJoined((channel) => channel.sendBroadcast(event, payload))
  }

  /** Applies the requests once, when the effects of this commit have run. */
  sync(): void {
    this.#syncing ??= Promise.resolve().then(() => {
      this.#syncing = null
      if (!this.isHeld) return
      try {
        this.#settle()
      } catch (error) {
        this.#fail(error as RealtimeError)
      }
    })
  }

  #settle(): void {
    if (this.#neighbours.isTaken(this))
      throw new RealtimeError('already-joined', `Another component uses ${this.topic} with other options; a client can be in a topic once.`)
    const { channel } = (this.#handle ??= this.#acquire())
    const missing = [...this.#listenings.values()].filter(({ isBound, handlers }) => !isBound && handlers.size > 0)
    const isLate = missing.some(({ isPartOfJoin }) => isPartOfJoin) && (channel.isJoined || channel.isJoining)
    const isRejoin = isLate && channel.isJoined
    if (isLate) this.#leave(channel)
    this.#dropUnheard(channel.isJoined || channel.isJoining)
    for (const listening of missing) listening.bind(channel)
    if (channel.isClosed) this.#setStatus('joining')
    channel.subscribe(this.#onStatus)
    if (channel.isJoined) void this.#presence.send(channel)
    if (isRejoin) this.#gap()
  }

  /** The server takes presence and changes with the join only: later ones need another join. */
  #leave(channel: RealtimeChannel): void {
    this.#isRejoining = true
    void channel.unsubscribe()
    this.#isRejoining = false
    this.#presence.lost()
  }

  /** A listening that is part of the join stays until the next one, without handlers meanwhile. */
  #dropUnheard(isActive: boolean): void {
    for (const [key, listening] of this.#listenings) {
      if (listening.handlers.size > 0 || (isActive && listening.isBound && listening.isPartOfJoin)) continue
      listening.unbind()
      this.#listenings.delete(key)
    }
  }

  #gap(): void {
    this.#listenings.get(JSON.stringify({ type: 'rejoin' }))?.emit({ recovered: false, reason: 'late-listener' })
  }

  #acquire(): ChannelHandle<UntypedEvents, UntypedDatabase, UntypedRow> {
    const handle = this.#client.hold(this.topic, this.#options)
    const onError = (error: RealtimeError | null): void => {
      if (this.#status.state === 'joined') this.#setStatus('joined', error)
    }
    handle.channel.onError(onError, { signal: handle.signal })
    return handle
  }

  /** The components' requests cannot be met. */
  #fail(error: RealtimeError): void {
    if (this.#status.error?.message !== error.message) console.error(error.message)
    this.#setStatus('errored', error)
  }

  readonly #onStatus = (status: SubscribeStatus, error?: RealtimeError): void => {
    if (this.#isRejoining) return
    if (status === 'SUBSCRIBED') {
      this.#setStatus('joined')
      void this.#presence.send(this.channel)
    } else if (status === 'CLOSED') {
      this.#presence.lost()
      this.#setStatus('closed', error ?? this.#status.error)
    } else {
      // No further attempt mends it, and few components read the status.
      if (error?.retryable === false && this.#status.error?.message !== error.message)
        console.warn(`${this.topic}: ${error.message} (${error.code})`)
      this.#setStatus('errored', error ?? null)
    }
  }

  #setStatus(state: ChannelStatus['state'], error: RealtimeError | null = null): void {
    if (state !== this.#status.state || error !== this.#status.error) this.#status = { state, error }
    for (const changed of [...this.#watchers]) changed()
  }

  async #whenJoined(run: (channel: RealtimeChannel) => Promise<RealtimeChannelSendResponse>): Promise<RealtimeChannelSendResponse> {
    await this.#syncing
    const { channel } = this
    if (channel === null || !this.isHeld) throw this.#status.error ?? notMounted(this.topic)
    if (channel.isClosed) channel.subscribe(this.#onStatus)
    try {
      if (!channel.isJoined) await channel.ready()
    } catch (error) {
      // Broadcast and presence do not wait for changes that cannot flow.
      if (!channel.isJoined) return error instanceof RealtimeError && error.code === 'timeout' ? 'timed out' : 'error'
    }
    return run(channel)
  }

  #end(): void {
    for (const listening of this.#listenings.values()) listening.unbind()
    this.#listenings.clear()
    // The client forgets a released channel a little later, and would give it to the next one as it is.
    if (this.#neighbours.isAwaited(this)) void this.channel?.unsubscribe()
    this.#handle?.release()
    this.#handle = null
    this.#presence.lost()
    this.#setStatus('closed')
    this.#neighbours.ended(this)
  }
}

export function notMounted(topic: string): RealtimeError {
  return new RealtimeError('not-joined', `No component that is mounted uses ${topic}; send while one does.`)
}
