import { RealtimeError, wireTopic } from '@tidewire/protocol'
import { RealtimeChannel } from './channel.ts'
import { setHost } from './compat/host.ts'
import type { ConnectionState } from './connection/connection-state.ts'
import type { UntypedDatabase } from './listen/database.ts'
import type { RealtimeChannelOptions } from './channel/channel-options.ts'
import type { HeartbeatCallback, RealtimeClientOptions, RealtimeMessage } from './options.ts'
import type { Untyped, UntypedEvents, UntypedRow } from './listen/payloads.ts'
import type { Runtime } from './runtime.ts'
import type { EventsOf, Schemas } from './listen/schema.ts'
import { Session } from './connection/session.ts'

const CONNECTION_STATES = {
  connecting: 'connecting',
  connected: 'open',
  closing: 'closing',
  disconnected: 'closed',
  waiting: 'closed',
  suspended: 'closed',
} as const

/** A share in a channel. */
export interface ChannelHandle<Events extends object, Database, Meta extends object> {
  readonly channel: RealtimeChannel<Events, Database, Meta>
  /** Aborts when the handle is released. */
  readonly signal: AbortSignal
  release(): void
  [Symbol.asyncDispose](): Promise<void>
}

/** One connection to a realtime server, and the channels on it. */
export class Client<Database = UntypedDatabase> {
  /** The endpoint with `/websocket`. */
  readonly endPoint: string
  readonly httpEndpoint: string
  readonly apiKey: string
  readonly accessToken: (() => Promise<string | null>) | null
  readonly transport: RealtimeClientOptions['transport']
  readonly encode: RealtimeClientOptions['encode']
  readonly decode: RealtimeClientOptions['decode']
  readonly fetch: RealtimeClientOptions['fetch']
  readonly params: { readonly [key: string]: Untyped }
  readonly headers: { readonly [key: string]: string }
  readonly logLevel: string | undefined
  readonly worker: boolean
  readonly workerUrl: string | undefined
  readonly timeout: number
  readonly vsn: string
  readonly heartbeatIntervalMs: number
  readonly reconnectAfterMs: (tries: number) => number
  readonly #session: Session

  /** Does not connect. Throws a RealtimeError (`bad-option`) that names every fault of the options. */
  constructor(endPoint: string, options: RealtimeClientOptions = {}, runtime: Runtime) {
    const session = new Session(endPoint, options, runtime)
    const resolved = session.options
    this.#session = session
    setHost(this, session)
    this.endPoint = session.endPoint
    this.httpEndpoint = resolved.httpUrl
    this.apiKey = resolved.apikey
    this.accessToken = options.accessToken ?? null
    this.transport = options.transport
    this.encode = options.encode
    this.decode = options.decode
    this.fetch = options.fetch
    this.params = resolved.params
    this.headers = options.headers ?? {}
    this.logLevel = options.logLevel ?? options.log_level
    this.worker = options.worker === true
    this.workerUrl = options.workerUrl
    this.timeout = resolved.timeoutMs
    this.vsn = resolved.version
    this.heartbeatIntervalMs = resolved.heartbeatIntervalMs
    this.reconnectAfterMs = resolved.retryInMs
  }

  /** All channels, in the order of their making. The array is replaced when one comes or goes. */
  get channels(): RealtimeChannel[] {
    return this.#session.registry.owners as RealtimeChannel[]
  }

  get accessTokenValue(): string | null {
    return this.#session.token
  }

  get heartbeatCallback(): HeartbeatCallback {
    return this.#session.heartbeatCallback
  }

  get workerRef(): unknown {
    return this.#session.clock.worker?.worker
  }

  /** The connection's state; `onState` is called when its kind changes. */
  get state(): ConnectionState {
    return this.#session.state
  }

  get pendingHeartbeatRef(): string | null {
    return 'heartbeatRef' in this.state ? this.state.heartbeatRef : null
  }

  /** The last ref that was given out. */
  get ref(): number {
    return this.#session.ref
  }

  /** The URL that the WebSocket is opened with, API key included. */
  endpointURL(): string {
    return this.#session.url
  }

  /** Connects, and stays connected until `disconnect`: a lost connection is made again. Never throws. */
  connect(): void {
    this.#session.connectNow()
  }

  /**
   * Disconnects for good. Resolves with `ok` when the socket is closed, with `timeout` when that took too long and the
   * socket was dropped. Channels stay, errored, and join again after the next `connect`.
   */
  disconnect(code?: number, reason?: string): Promise<'ok' | 'timeout'> {
    return this.#session.disconnect(code, reason)
  }

  close(): Promise<'ok' | 'timeout'> {
    return this.disconnect()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.removeAllChannels()
  }

  /** Called for each change of the connection: what it is now and, while it waits, why, for which attempt and how long. */
  onState(callback: (state: ConnectionState) => void, { signal }: { signal?: AbortSignal } = {}): () => void {
    const listeners = this.#session.stateListeners
    const off = (): void => {
      listeners.delete(callback)
      signal?.removeEventListener('abort', off)
    }
    if (signal?.aborted === true) return off
    listeners.add(callback)
    signal?.addEventListener('abort', off)
    return off
  }

  /** Says that the program was asleep or away: the connection is probed, or made again, at once. See `wakeWithApp`. */
  wake(): void {
    this.#session.check('wake')
  }

  connectionState(): 'connecting' | 'open' | 'closing' | 'closed' {
    return CONNECTION_STATES[this.state.kind]
  }

  isConnected(): boolean {
    return this.connectionState() === 'open'
  }

  isConnecting(): boolean {
    return this.connectionState() === 'connecting'
  }

  isDisconnecting(): boolean {
    return this.connectionState() === 'closing'
  }

  getChannels(): RealtimeChannel[] {
    return this.channels
  }

  /**
   * The channel of a topic: the one that there is, else a new one. Of an existing channel the parameters stay as they are; throws a
   * RealtimeError (`already-joined`) when `private` is asked for and differs.
   */
  channel<Events extends object = UntypedEvents, Meta extends object = UntypedRow>(
    topic: string,
    params?: RealtimeChannelOptions,
  ): RealtimeChannel<Events, Database, Meta>
  /** With validators: broadcasts that they refuse are reported and not delivered. */
  channel<All extends Schemas, Meta extends object = UntypedRow>(
    topic: string,
    params: RealtimeChannelOptions & { schemas: All },
  ): RealtimeChannel<EventsOf<All>, Database, Meta>
  channel<Events extends object, Meta extends object>(
    topic: string,
    params: RealtimeChannelOptions & { schemas?: Schemas } = { config: {} },
  ): RealtimeChannel<Events, Database, Meta> {
    const session = this.#session
    const name = wireTopic(topic)
    session.stayUp()
    const membership = session.registry.find(name)
    if (membership === undefined) return new RealtimeChannel(name, params, this)
    const channel = membership.owner as RealtimeChannel<Events, Database, Meta>
    const { private: wanted } = { ...params.config }
    // A public and a private topic may have one name: the caller would get the wrong one unnoticed.
    if (wanted !== undefined && wanted !== channel.private)
      throw new RealtimeError('already-joined', `${name} is in use as a ${wanted ? 'public' : 'private'} channel.`)
    return channel
  }

  /**
   * The channel of a topic, for one of several users of it. Give the handle's `signal` to your listeners: `release` takes
   * them back, and the last release leaves the topic, unless it is held again in the same turn.
   */
  hold<Events extends object = UntypedEvents, Meta extends object = UntypedRow>(
    topic: string,
    params?: RealtimeChannelOptions,
  ): ChannelHandle<Events, Database, Meta> {
    const session = this.#session
    const channel = this.channel<Events, Meta>(topic, params)
    const membership = session.registry.find(channel.topic)!
    const released = new AbortController()
    const release = (): void => {
      if (released.signal.aborted) return
      released.abort()
      if (--membership.refCount === 0) session.setTimer(() => membership.refCount === 0 && membership.leave(), 0)
    }
    membership.refCount++
    return {
      channel,
      signal: released.signal,
      release,
      [Symbol.asyncDispose]() {
        release()
        return Promise.resolve()
      },
    }
  }

  /** Leaves the channel and forgets it. */
  removeChannel(channel: { unsubscribe(): Promise<'ok' | 'timed out' | 'error'> }): Promise<'ok' | 'timed out' | 'error'> {
    return channel.unsubscribe()
  }

  /** Leaves all channels, then disconnects. */
  async removeAllChannels(): Promise<('ok' | 'timed out' | 'error')[]> {
    const left = Promise.all(this.channels.map((channel) => channel.unsubscribe()))
    await this.disconnect()
    return left
  }

  /** Sends a message as it is; without a connection it waits for one. */
  push({ join_ref, ...message }: RealtimeMessage): void {
    this.#session.hold({ ...message, joinRef: join_ref ?? null })
  }

  /**
   * Sets the user's token: joined channels send it, others join with it. Without a token the `accessToken` callback is
   * asked again. With such a callback a token given here holds until its next answer. Resolves when done.
   */
  setAuth(token: string | null = null): Promise<void> {
    return new Promise((resolve) => this.#session.auth.set(token, () => resolve()))
  }

  /** Sends a heartbeat now, unless one is on its way or there is no connection. */
  sendHeartbeat(): Promise<void> {
    this.#session.check('beat')
    return Promise.resolve()
  }

  /** Replaces the callback for heartbeats. */
  onHeartbeat(callback: HeartbeatCallback): void {
    this.#session.heartbeatCallback = callback
  }

  hasLogger(): boolean {
    return this.#session.given.logger !== undefined
  }

  log(kind: string, text: string, data?: Untyped): void {
    this.#session.log(kind, text, data)
  }
}
