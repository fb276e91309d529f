import {
  decodeServerFrame,
  encodeClientMessage,
  isJsonObject,
  PHOENIX_TOPIC,
  RealtimeError,
  wireTopic,
  type Message,
} from '@tidewire/protocol'
import { quoteBigNumbers } from './change-values.ts'
import { channelOf, hosts, RealtimeChannel } from './channel.ts'
import {
  connectionStep,
  disconnected,
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionState,
  type Loss,
} from './connection-state.ts'
import type { UntypedDatabase } from './database.ts'
import { socketUrl } from './endpoint.ts'
import { machine, singleTimer, type Machine } from './machine.ts'
import type { ChannelHost, Membership, RealtimeChannelOptions } from './membership.ts'
import {
  resolveOptions,
  type HeartbeatCallback,
  type RealtimeClientOptions,
  type RealtimeMessage,
  type ResolvedOptions,
} from './options.ts'
import type { Untyped, UntypedEvents, UntypedRow } from './payloads.ts'
import type { EventsOf, Schemas } from './schema.ts'
import { TokenSource } from './token-source.ts'
import { Transport } from './transport.ts'
import type { HttpAnswer, Runtime, WorkerTimers } from './runtime.ts'

const CLOSE_TIMEOUT_MS = 1500
/** Messages of `push` that wait for a connection; beyond this the oldest is dropped. */
const MOST_HELD = 100
/** How many joins wait for their reply at one time; the others wait for their turn. */
const MOST_JOINING = 32
/** A timer that is this late was overslept. */
const OVERSLEPT_MS = 10_000
/** What these say is not written to a log: they carry the token. */
const SECRET_EVENTS = ['phx_join', 'access_token']

/** A share in a channel. */
export interface ChannelHandle<Events extends object, Database, Meta extends object> {
  readonly channel: RealtimeChannel<Events, Database, Meta>
  /** Aborts when the handle is released. */
  readonly signal: AbortSignal
  release(): void
  [Symbol.asyncDispose](): Promise<void>
}

/** One connection to a realtime server, and the channels on it. */
export class RealtimeClient<Database = UntypedDatabase> {
  /** The endpoint with `/websocket`. */
  readonly endPoint: string
  readonly httpEndpoint: string
  readonly apiKey: string
  readonly accessToken: (() => Promise<string | null>) | null
  /** All channels, in the order of their making. The array is replaced when one comes or goes. */
  channels: RealtimeChannel[] = []
  heartbeatCallback: HeartbeatCallback
  readonly transport: RealtimeClientOptions['transport']
  readonly encode: RealtimeClientOptions['encode']
  readonly decode: RealtimeClientOptions['decode']
  readonly fetch: RealtimeClientOptions['fetch']
  readonly params: { readonly [key: string]: Untyped }
  readonly headers: { readonly [key: string]: string }
  readonly logLevel: string | undefined
  readonly worker: boolean
  readonly workerUrl: string | undefined

  readonly #logger: RealtimeClientOptions['logger']
  readonly #resolved: ResolvedOptions
  readonly #runtime: Runtime
  readonly #connection: Machine<ConnectionState, ConnectionEvent>
  readonly #token: TokenSource
  readonly #transport: Transport
  readonly #attached = new Map<string, Membership>()
  #ref = 0
  #held: Message[] = []
  #heartbeatSentMs = 0
  #disconnects: ((result: 'ok' | 'timeout') => void)[] = []
  #unwatch: (() => void) | null = null
  readonly #stateListeners = new Set<(state: ConnectionState) => void>()
  readonly #joining = new Set<Membership>()
  readonly #joinQueue = new Map<Membership, (error?: RealtimeError) => void>()
  readonly #holders = new Map<RealtimeChannel, number>()
  #timerDueMs = 0
  #worker: WorkerTimers | null = null
  readonly #emptyTimer: (afterMs: number | null) => void

  /** Does not connect. Throws a RealtimeError (`bad-option`) that names every fault of the options. */
  constructor(endPoint: string, options: RealtimeClientOptions = {}, runtime: Runtime) {
    this.#logger = options.logger
    this.#runtime = runtime
    this.#resolved = resolveOptions(endPoint, options, runtime)
    this.endPoint = `${endPoint}/websocket`
    this.httpEndpoint = this.#resolved.httpUrl
    this.apiKey = this.#resolved.apikey
    this.accessToken = options.accessToken ?? null
    this.heartbeatCallback = options.heartbeatCallback ?? (() => {})
    this.transport = options.transport
    this.encode = options.encode
    this.decode = options.decode
    this.fetch = options.fetch
    this.params = this.#resolved.params
    this.headers = options.headers ?? {}
    this.logLevel = options.logLevel ?? options.log_level
    this.worker = options.worker === true
    this.workerUrl = options.workerUrl
    const connectionTimer = singleTimer(this.#setTimer, () => this.#onConnectionTimer())
    const connectionOptions = { ...this.#resolved, closeTimeoutMs: CLOSE_TIMEOUT_MS }
    this.#connection = machine(
      disconnected,
      (state, event: ConnectionEvent) => connectionStep(state, event, connectionOptions),
      (effect) => this.#performConnection(effect, connectionTimer),
    )
    const log = (kind: string, text: string, data?: unknown): void => this.log(kind, text, data)
    this.#token = new TokenSource({
      callback: this.accessToken,
      deadlineMs: this.#resolved.accessTokenTimeoutMs,
      setTimer: this.#setTimer,
      nowMs: () => runtime.nowMs(),
      changed: () => this.#each((channel) => channel.tokenChanged()),
      log,
    })
    this.#transport = new Transport({
      url: () => this.endpointURL(),
      socketClass: () => this.transport ?? runtime.webSocket(),
      opened: () => this.#drive({ type: 'opened' }),
      message: (data) => this.#receive(data),
      closed: (loss) => this.#drive({ type: loss.final === undefined ? 'closed' : 'impossible', loss }),
      log,
    })
    this.#emptyTimer = singleTimer(this.#setTimer, () => void this.disconnect())
    hosts.set(this, this.#makeHost())
  }

  get accessTokenValue(): string | null {
    return this.#token.value
  }

  get workerRef(): unknown {
    return this.#worker?.worker
  }

  /** What the connection is now; `onState` tells when its kind changes. */
  get state(): ConnectionState {
    return this.#connection.state
  }

  get pendingHeartbeatRef(): string | null {
    const { state } = this.#connection
    return state.kind === 'connected' ? state.heartbeatRef : null
  }

  /** How many refs were given out. */
  get ref(): number {
    return this.#ref
  }

  get timeout(): number {
    return this.#resolved.timeoutMs
  }

  get vsn(): string {
    return this.#resolved.version
  }

  get heartbeatIntervalMs(): number {
    return this.#resolved.heartbeatIntervalMs
  }

  get reconnectAfterMs(): (tries: number) => number {
    return this.#resolved.retryInMs
  }

  /** The URL that the WebSocket is opened with, API key included. */
  endpointURL(): string {
    return socketUrl(this.endPoint, this.#resolved.params)
  }

  /** Connects, and stays connected until `disconnect`: a lost connection is made again. Never throws. */
  connect(): void {
    this.#drive({ type: 'connect' })
    this.#prefetchToken()
  }

  /**
   * Disconnects for good. Resolves with `ok` when the socket is closed, with `timeout` when that took too long and the
   * socket was dropped. Channels stay, errored, and join again after the next `connect`.
   */
  disconnect(code?: number, reason?: string): Promise<'ok' | 'timeout'> {
    this.#emptyTimer(null)
    this.#drive({ type: 'disconnect', code, reason })
    const error = new RealtimeError('disconnected', 'The client was disconnected.')
    this.#each((channel) => channel.giveUp(error))
    if (this.#connection.state.kind !== 'closing') return Promise.resolve('ok')
    return new Promise((resolve) => this.#disconnects.push(resolve))
  }

  close(): Promise<'ok' | 'timeout'> {
    return this.disconnect()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.removeAllChannels()
  }

  /** Tells each change of the connection: what it is now and, while it waits, why, for which attempt and how long. */
  onState(callback: (state: ConnectionState) => void, { signal }: { signal?: AbortSignal } = {}): () => void {
    const off = (): void => void this.#stateListeners.delete(callback)
    if (signal?.aborted !== true) this.#stateListeners.add(callback)
    signal?.addEventListener('abort', off, { once: true })
    return off
  }

  /** Says that the program was asleep or away: the connection is probed, or made again, at once. For React Native's AppState. */
  wake(): void {
    this.#drive({ type: 'wake', ref: this.#nextRef() })
  }

  connectionState(): 'connecting' | 'open' | 'closing' | 'closed' {
    switch (this.#connection.state.kind) {
      case 'connecting':
        return 'connecting'
      case 'connected':
        return 'open'
      case 'closing':
        return 'closing'
      default:
        return 'closed'
    }
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

  /** The channel of a topic: the one that there is, else a new one. Of an existing channel the parameters stay as they are. */
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
    const existing = this.#attached.get(wireTopic(topic))
    if (existing === undefined) return new RealtimeChannel<Events, Database, Meta>(wireTopic(topic), params, this)
    this.#emptyTimer(null)
    return channelOf(existing) as unknown as RealtimeChannel<Events, Database, Meta>
  }

  /**
   * The channel of a topic, for one of several users of it. Give the handle's `signal` to your listeners: `release` takes
   * them back, and the last release leaves the topic, unless somebody holds it again in the same turn.
   */
  hold<Events extends object = UntypedEvents, Meta extends object = UntypedRow>(
    topic: string,
    params?: RealtimeChannelOptions,
  ): ChannelHandle<Events, Database, Meta> {
    const channel = this.channel<Events, Meta>(topic, params)
    const holders = this.#holders
    const key = channel as unknown as RealtimeChannel
    holders.set(key, (holders.get(key) ?? 0) + 1)
    const released = new AbortController()
    const release = (): void => {
      if (released.signal.aborted) return
      released.abort()
      const rest = holders.get(key)! - 1
      holders.set(key, rest)
      if (rest > 0) return
      this.#setTimer(0, () => {
        if (holders.get(key) !== 0) return
        holders.delete(key)
        void channel.unsubscribe()
      })
    }
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
  push(message: RealtimeMessage): void {
    const { topic, event, payload, ref, join_ref: joinRef = null } = message
    this.#held.push({ joinRef, ref, topic, event, payload })
    if (this.isConnected()) this.#flushHeld()
    else if (this.#held.length > MOST_HELD) this.#held.shift()
  }

  /**
   * Sets the user's token: joined channels are told, others join with it. Without a token the `accessToken` callback is
   * asked anew. With such a callback a token given here holds until its next answer. Resolves when done.
   */
  setAuth(token: string | null = null): Promise<void> {
    return new Promise((resolve) => this.#token.set(token, () => resolve()))
  }

  /** Sends a heartbeat now, unless one is on its way or there is no connection. */
  sendHeartbeat(): Promise<void> {
    this.#drive({ type: 'beat', ref: this.#nextRef() })
    return Promise.resolve()
  }

  /** Replaces the callback that hears of heartbeats. */
  onHeartbeat(callback: HeartbeatCallback): void {
    this.heartbeatCallback = callback
  }

  hasLogger(): boolean {
    return this.#logger !== undefined
  }

  log(kind: string, text: string, data?: Untyped): void {
    this.#logger?.(kind, text, data)
  }

  readonly #setTimer = (afterMs: number, run: () => void): (() => void) => (this.#worker ?? this.#runtime).setTimer(afterMs, run)

  readonly #nextRef = (): string => String(++this.#ref)

  #makeHost(): ChannelHost {
    const isUp = (): boolean => this.isConnected()
    const token = (): string | null => this.accessTokenValue
    return {
      runtime: this.#runtime,
      options: this.#resolved,
      get isUp() {
        return isUp()
      },
      get token() {
        return token()
      },
      setTimer: this.#setTimer,
      connect: () => this.connect(),
      nextRef: this.#nextRef,
      write: (message) => this.#write(message),
      authorize: (channel, done) => this.#authorize(channel, done),
      settled: (channel) => this.#settled(channel),
      attach: (channel) => this.#attach(channel),
      detach: (channel) => this.#detach(channel),
      post: (path, body, timeoutMs) => this.#post(path, body, timeoutMs),
      report: (error) => this.#report(error),
      log: (kind, text, data) => this.log(kind, text, data),
      warn: (text) => (this.hasLogger() ? this.log('channel', text) : this.#runtime.warn(text)),
    }
  }

  #authorize(channel: Membership, done: (error?: RealtimeError) => void): void {
    if (this.#joining.size >= MOST_JOINING) {
      this.#joinQueue.set(channel, done)
      return
    }
    this.#joining.add(channel)
    this.#token.need(done)
  }

  #settled(channel: Membership): void {
    this.#joining.delete(channel)
    this.#joinQueue.delete(channel)
    const next = this.#joinQueue.entries().next()
    // Without a connection those in the queue are about to be told so.
    if (next.done === true || !this.isConnected()) return
    this.#joinQueue.delete(next.value[0])
    this.#authorize(...next.value)
  }

  #attach(channel: Membership): void {
    const { topic } = channel
    const existing = this.#attached.get(topic)
    if (existing === channel) return
    if (existing !== undefined)
      throw new RealtimeError('already-joined', `Another channel has the topic ${topic}; use that one, or remove it first.`)
    this.#emptyTimer(null)
    this.#attached.set(topic, channel)
    this.channels = [...this.channels, channelOf(channel)]
  }

  #detach(channel: Membership): void {
    if (this.#attached.get(channel.topic) !== channel) return
    this.#attached.delete(channel.topic)
    this.channels = this.channels.filter((other) => other !== channelOf(channel))
    if (this.channels.length === 0 && this.#connection.state.kind !== 'disconnected') this.#emptyTimer(this.#resolved.emptyDisconnectMs)
  }

  #drive(event: ConnectionEvent): void {
    const before = this.#connection.state.kind
    this.#connection.send(event)
    const { state } = this.#connection
    const { kind } = state
    if (kind !== before) for (const callback of this.#stateListeners) this.#call('state', () => callback(state))
    const isWanted = kind !== 'disconnected' && kind !== 'closing'
    if (isWanted && this.#unwatch === null) this.#wakeUp()
    if (!isWanted && this.#unwatch !== null) this.#fallAsleep()
    if (before === 'closing' && kind !== 'closing') {
      const resolvers = this.#disconnects
      this.#disconnects = []
      for (const resolve of resolvers) resolve(event.type === 'timer' ? 'timeout' : 'ok')
    }
  }

  #wakeUp(): void {
    if (this.worker && this.#worker === null) this.#startWorker()
    this.#unwatch = this.#runtime.watch((what) =>
      this.#drive(what === 'wake' ? { type: 'wake', ref: this.#nextRef() } : { type: 'freeze' }),
    )
    this.#token.activate()
  }

  #startWorker(): void {
    const failed = (cause: unknown): void => {
      this.#worker = null
      this.log('worker', 'the worker failed; the page keeps the time', cause)
    }
    try {
      this.#worker = this.#runtime.workerTimers({ url: this.workerUrl, failed })
    } catch (cause) {
      failed(cause)
    }
  }

  #fallAsleep(): void {
    this.#worker?.stop()
    this.#worker = null
    this.#unwatch?.()
    this.#unwatch = null
    this.#token.deactivate()
  }

  #onConnectionTimer(): void {
    const { kind } = this.#connection.state
    const wasAsleep = this.#runtime.nowMs() - this.#timerDueMs > OVERSLEPT_MS
    this.#drive({ type: wasAsleep && kind === 'connected' ? 'wake' : 'timer', ref: this.#nextRef() })
  }

  #performConnection(effect: ConnectionEffect, timer: (afterMs: number | null) => void): void {
    switch (effect.type) {
      case 'timer':
        this.#timerDueMs = this.#runtime.nowMs() + (effect.afterMs ?? 0)
        return timer(effect.afterMs)
      case 'open-socket':
        return this.#transport.open()
      case 'close-socket':
        return this.#transport.close(effect.code, effect.reason)
      case 'drop-socket':
        return this.#transport.drop(effect.reason)
      case 'send-heartbeat':
        return this.#sendHeartbeat(effect.ref)
      case 'heartbeat-missed':
        this.log('transport', 'heartbeat timeout')
        return this.#heard('timeout')
      case 'up':
        this.log('transport', `connected to ${this.endPoint}`)
        this.#flushHeld()
        return this.#each((channel) => channel.up())
      case 'down':
        this.log('transport', 'close', effect.loss)
        return this.#each((channel) => channel.down(lossError(effect.loss)))
    }
  }

  #receive(data: unknown): void {
    const state = this.#connection.state
    if (state.kind === 'connected' && state.attempt > 0) this.#drive({ type: 'proven' })
    const { decode } = this
    if (decode !== undefined) {
      try {
        decode(data as string | ArrayBuffer, ({ topic, event, payload, ref, join_ref = null as never }) =>
          this.#deliver({ topic, event, payload, ref, joinRef: join_ref }),
        )
      } catch (cause) {
        this.log('error', 'a frame could not be decoded', cause)
      }
      return
    }
    const frame = typeof data === 'string' ? data : data instanceof ArrayBuffer ? new Uint8Array(data) : (data as Uint8Array)
    const isBig = this.#resolved.bigNumbers !== 'number' && typeof frame === 'string' && frame.includes('"postgres_changes"')
    const decoded = decodeServerFrame(this.#resolved.version, isBig ? quoteBigNumbers(frame) : frame)
    if (decoded.ok) this.#deliver(decoded.value)
    else this.log('error', `a frame could not be decoded: ${decoded.detail}`, decoded.code)
  }

  #deliver(message: Message): void {
    const { topic, event, payload, ref } = message
    if (this.hasLogger()) this.log('receive', `${topic} ${event} ${ref === null ? '' : `(${ref})`}`, payload)
    if (topic === PHOENIX_TOPIC) this.#onHeartbeatReply(String(ref), payload)
    else this.#attached.get(topic)?.receive(message)
  }

  #write(message: Message): void {
    const { topic, event, payload, ref, joinRef } = message
    if (this.hasLogger()) this.log('push', `${topic} ${event} (${joinRef}, ${ref})`, SECRET_EVENTS.includes(event) ? undefined : payload)
    if (!this.isConnected()) throw new RealtimeError('connection-lost', 'There is no connection.', { retryable: true })
    const { encode } = this
    try {
      if (encode === undefined) this.#transport.send(encodeClientMessage(this.#resolved.version, message))
      else
        encode({ topic, event, payload, ref: ref as string, ...(joinRef === null ? {} : { join_ref: joinRef as string }) }, (encoded) =>
          this.#transport.send(encoded),
        )
    } catch (cause) {
      if (cause instanceof RangeError) throw new RealtimeError('name-too-long', cause.message, { cause })
      throw new RealtimeError('not-serializable', `The payload of "${event}" cannot be written.`, { cause })
    }
  }

  #flushHeld(): void {
    const held = this.#held
    this.#held = []
    for (const message of held) {
      try {
        this.#write(message)
      } catch (error) {
        this.log('error', 'a message could not be sent', error)
      }
    }
  }

  #sendHeartbeat(ref: string): void {
    this.#heartbeatSentMs = this.#runtime.nowMs()
    try {
      this.#write({ joinRef: null, ref, topic: PHOENIX_TOPIC, event: 'heartbeat', payload: {} })
    } catch (error) {
      this.log('error', 'a heartbeat could not be sent', error)
    }
    this.#heard('sent')
    this.#prefetchToken()
  }

  #onHeartbeatReply(ref: string, payload: unknown): void {
    const state = this.#connection.state
    if (state.kind !== 'connected' || state.heartbeatRef !== ref) return
    this.#drive({ type: 'heartbeat-reply', ref })
    const isOk = isJsonObject(payload) && payload['status'] === 'ok'
    this.#heard(isOk ? 'ok' : 'error', this.#runtime.nowMs() - this.#heartbeatSentMs)
  }

  #heard(...news: Parameters<HeartbeatCallback>): void {
    this.#call('heartbeat', () => this.heartbeatCallback(...news))
  }

  #call(what: string, run: () => unknown): void {
    try {
      run()
    } catch (cause) {
      this.#report(new RealtimeError('listener-threw', `A ${what} callback threw.`, { cause }))
    }
  }

  /** Whoever refreshes tokens may have done so unasked; joined channels should not run into the old one's end. */
  #prefetchToken(): void {
    if (this.#resolved.canRefresh) this.#token.need(() => {})
  }

  #each(act: (channel: Membership) => void): void {
    for (const channel of this.#attached.values()) act(channel)
  }

  #post(path: string, body: string | Uint8Array, timeoutMs: number = this.#resolved.timeoutMs): Promise<HttpAnswer> {
    const token = this.accessTokenValue
    const headers = {
      apikey: this.apiKey,
      'Content-Type': typeof body === 'string' ? 'application/json' : 'application/octet-stream',
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
    }
    return this.#runtime.http({ url: this.httpEndpoint + path, headers, body, timeoutMs }, this.fetch)
  }

  #report(error: RealtimeError): void {
    this.log('error', error.message, error.cause)
    this.#runtime.report(error)
  }
}

/** What channels tell their subscribers when the socket is gone. */
function lossError({ code, reason, wasClean, final }: Loss): RealtimeError {
  const text = code === undefined ? reason : `socket closed: ${code}${reason === '' ? '' : ` (${reason})`}`
  return new RealtimeError(final ?? 'connection-lost', text, {
    ...(code === undefined ? {} : { cause: { code, reason, wasClean } }),
    retryable: final === undefined,
  })
}
