import { isJsonObject, RealtimeError, TOPIC_PREFIX, type JsonObject, type Message, type SystemPayload } from '@tidewire/protocol'
import { assignIds, changeEntries, isSameFilter, wantsChange } from './change-bindings.ts'
import { toChangePayload, type ChangePayload } from './change-values.ts'
import {
  channelStep,
  closed,
  type ChannelEffect,
  type ChannelEvent,
  type ChannelOptions,
  type ChannelState,
  type SubscribeStatus,
} from './channel-state.ts'
import { Listeners, matchesEvent, type Binding, type ListenType } from './listeners.ts'
import { machine, singleTimer, type Machine } from './machine.ts'
import type { ResolvedOptions } from './options.ts'
import { PresenceView, type Presence, type PresenceEvent, type PresenceSnapshot } from './presence-view.ts'
import { Pushes, type Push } from './pushes.ts'
import { refusal } from './refusal.ts'
import type { HttpAnswer, Runtime } from './runtime.ts'

export interface RealtimeChannelOptions {
  config: {
    broadcast?: {
      /** Also get what this channel sends. */
      self?: boolean
      /** `send` waits until the server has taken the message. */
      ack?: boolean
      /** On join, get stored messages since this time (milliseconds since 1970). Private channels only. */
      replay?: { since: number; limit?: number }
      /** Ask for a `system` message once the server's replication runs. */
      replication_ready?: boolean
    }
    presence?: { key?: string; enabled?: boolean }
    private?: boolean
    postgres_changes_options?: { wait?: boolean; timeout?: number }
  }
}

export type SendResponse = 'ok' | 'timed out' | 'error' | (string & {})
export type SubscribeCallback = (status: SubscribeStatus, error?: Error) => void

export interface BroadcastMessage<Payload = unknown> {
  type: 'broadcast'
  event: string
  payload: Payload
  meta?: { replayed?: boolean; id?: string }
}

export interface ChangeFilter {
  schema: string
  table?: string
  /** `column=operator.value`, several joined by commas; or anything that builds such a text. */
  filter?: string | { build(): string }
  /** Columns to get; all by default. */
  select?: string[]
}

/** What a channel needs of its client. */
export interface ChannelHost {
  readonly runtime: Runtime
  readonly options: ResolvedOptions
  readonly isUp: boolean
  readonly token: string | null
  readonly setTimer: (afterMs: number, run: () => void) => () => void
  connect(): void
  nextRef(): string
  /** Throws a RealtimeError when the message cannot be written. */
  write(message: Message): void
  /** Calls back once the token is known to be fresh; at once where nobody must be asked. */
  authorize(done: (error?: RealtimeError) => void): void
  /** Throws when another channel has the topic. */
  attach(channel: AttachedChannel): void
  detach(channel: AttachedChannel): void
  post(path: string, body: string | Uint8Array, timeoutMs: number | undefined): Promise<HttpAnswer>
  readonly report: (error: RealtimeError) => void
  log(kind: string, text: string, data?: unknown): void
  warn(text: string): void
}

/** What the client needs of a channel that it carries. */
export interface AttachedChannel {
  readonly channel: RealtimeChannel
  receive(message: Message): void
  up(): void
  down(error: Error): void
  tokenChanged(): void
  /** The user disconnected: nobody shall wait any longer. */
  disconnected(): void
}

/** The hosts of clients, so that `new RealtimeChannel(topic, params, client)` needs nothing public. */
export const hosts: WeakMap<object, ChannelHost> = new WeakMap()

interface ReadyWaiter {
  resolve(): void
  reject(error: Error): void
}

/** Servers hold the join reply back this long when asked to wait for the changes subscription, and some time for errors. */
const WAIT_TIMEOUT_MS = 15_000
const WAIT_GRACE_MS = 10_000

/** One membership of one topic: broadcast, presence and Postgres changes. */
export class RealtimeChannel {
  /** As on the wire, with the prefix `realtime:`. */
  readonly topic: string
  readonly subTopic: string
  readonly socket: object
  readonly broadcastEndpointURL: string
  readonly private: boolean
  params: RealtimeChannelOptions
  /** Whether `subscribe` was ever called. */
  joinedOnce = false

  readonly #host: ChannelHost
  readonly #listeners: Listeners
  readonly #presence = new PresenceView()
  readonly #pushes: Pushes
  readonly #machine: Machine<ChannelState, ChannelEvent>
  readonly #attached: AttachedChannel
  readonly #joining: ChannelOptions
  #callbacks: SubscribeCallback[] = []
  #extraJoinPayload: JsonObject = {}
  /** What is tracked, to be tracked again after a rejoin. */
  #tracked: unknown = undefined
  /** The token that the last join was sent with. */
  #joinToken: string | null = null
  #isLive = false
  #systemError: SystemPayload | null = null
  #ready: ReadyWaiter[] = []

  constructor(topic: string, params: RealtimeChannelOptions = { config: {} }, socket: object) {
    const host = hosts.get(socket)
    if (host === undefined) throw new RealtimeError('bad-argument', 'A channel needs a RealtimeClient.')
    this.#host = host
    this.topic = topic
    this.subTopic = topic.startsWith(TOPIC_PREFIX) ? topic.slice(TOPIC_PREFIX.length) : topic
    this.socket = socket
    this.broadcastEndpointURL = host.options.httpUrl
    this.params = {
      ...params,
      config: { broadcast: { ack: false, self: false }, presence: { key: '', enabled: false }, private: false, ...params.config },
    }
    const { config } = this.params
    this.private = config.private ?? false
    if (!this.private && config.broadcast?.replay)
      throw new RealtimeError('bad-option', `tried to use replay on public channel '${topic}'. It must be a private channel.`)
    this.#listeners = new Listeners(host.report)
    this.#pushes = new Pushes(host, (push) => this.#write(push.event, push.payload))
    const timer = singleTimer(host.setTimer, () => this.#machine.send({ type: 'timer', isUp: host.isUp, ref: host.nextRef() }))
    const options = { retryInMs: host.options.retryInMs, joinTimeoutMs: host.options.timeoutMs }
    this.#joining = options
    this.#machine = machine(
      closed,
      (state, event: ChannelEvent) => channelStep(state, event, options),
      (effect) => this.#perform(effect, timer),
    )
    this.#attached = {
      channel: this,
      receive: (message) => this.#receive(message),
      up: () => this.#machine.send({ type: 'up', ref: host.nextRef() }),
      down: (error) => this.#machine.send({ type: 'down', error }),
      tokenChanged: () => this.#tokenChanged(),
      disconnected: () => this.#giveUp(new RealtimeError('disconnected', 'The client was disconnected.')),
    }
    host.attach(this.#attached)
  }

  get state(): 'closed' | 'errored' | 'joined' | 'joining' | 'leaving' {
    return this.#machine.state.kind
  }

  get timeout(): number {
    return this.#joining.joinTimeoutMs
  }

  /** The listeners by type, in the order in which they were added. */
  get bindings(): { readonly [type: string]: readonly Binding[] } {
    return this.#listeners.bindings
  }

  get isClosed(): boolean {
    return this.state === 'closed'
  }

  get isErrored(): boolean {
    return this.state === 'errored'
  }

  get isJoined(): boolean {
    return this.state === 'joined'
  }

  get isJoining(): boolean {
    return this.state === 'joining'
  }

  /**
   * Joins the topic, connecting first if need be, and stays joined over lost connections. `callback` gets SUBSCRIBED
   * after each join, CHANNEL_ERROR and TIMED_OUT for what will be tried again (see `error.retryable`), CLOSED at the end.
   * A second call adds its callback. Throws when another channel has the topic meanwhile.
   */
  subscribe(callback?: SubscribeCallback, timeout: number = this.#host.options.timeoutMs): this {
    const { kind } = this.#machine.state
    if (kind === 'closed') {
      this.#host.attach(this.#attached)
      this.#callbacks = []
      const { wait, timeout: waitMs } = this.params.config.postgres_changes_options ?? {}
      const held = wait === true && this.#changes.length > 0 ? (waitMs ?? WAIT_TIMEOUT_MS) + WAIT_GRACE_MS : 0
      this.#joining.joinTimeoutMs = Math.max(timeout, held)
      this.joinedOnce = true
    }
    if (callback !== undefined && !this.#callbacks.includes(callback)) {
      this.#callbacks.push(callback)
      if (kind === 'joined') queueMicrotask(() => this.isJoined && this.#listeners.call('subscribe', () => callback('SUBSCRIBED')))
    }
    this.#machine.send({ type: 'subscribe', isUp: this.#host.isUp, ref: this.#host.nextRef() })
    this.#host.connect()
    return this
  }

  /** Leaves the topic. Always done at once; the channel may be subscribed again. */
  unsubscribe(_timeout?: number): Promise<'ok' | 'timed out' | 'error'> {
    this.#machine.send({ type: 'leave' })
    this.teardown()
    return Promise.resolve('ok')
  }

  /** Stops all timers and settles all promises, without a word to the server. */
  teardown(): void {
    this.#machine.send({ type: 'closed' })
    this.#host.detach(this.#attached)
  }

  /**
   * Resolves once the channel is joined and, with Postgres changes, once the server says that they flow. Subscribes if
   * need be. Rejects with a RealtimeError when that takes longer than `timeout` (milliseconds, default: the client's),
   * when the server refuses for good, when the channel is left, or when `signal` aborts.
   */
  ready(options: { timeout?: number; signal?: AbortSignal } = {}): Promise<void> {
    const { timeout = this.#host.options.timeoutMs, signal } = options
    if (signal?.aborted === true) return Promise.reject(aborted(signal))
    if (this.isClosed) this.subscribe()
    if (this.#isReady) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const settle = (then: () => void): void => {
        stop()
        signal?.removeEventListener('abort', onAbort)
        this.#ready = this.#ready.filter((other) => other !== waiter)
        then()
      }
      const waiter: ReadyWaiter = { resolve: () => settle(resolve), reject: (error) => settle(() => reject(error)) }
      const onAbort = (): void => waiter.reject(aborted(signal!))
      const stop = this.#host.setTimer(timeout, () =>
        waiter.reject(new RealtimeError('timeout', `${this.topic} was not ready within ${timeout} ms.`, { retryable: true })),
      )
      signal?.addEventListener('abort', onAbort)
      this.#ready.push(waiter)
    })
  }

  on(type: 'broadcast', filter: { event: string }, callback: (message: BroadcastMessage) => void): this
  on(type: 'presence', filter: { event: 'sync' | 'join' | 'leave' | '*' }, callback: (event: PresenceEvent) => void): this
  on(
    type: 'postgres_changes',
    filter: ChangeFilter & { event: '*' | 'INSERT' | 'UPDATE' | 'DELETE' },
    callback: (change: ChangePayload) => void,
  ): this
  on(type: 'system', filter: object, callback: (payload: SystemPayload) => void): this
  /** Listens. Presence and Postgres changes are part of the join, so they must be asked for before `subscribe`. */
  on(type: ListenType, filter: object, callback: (payload: never) => void): this {
    const kind = type.toLowerCase()
    const { state } = this
    if ((kind === 'presence' || kind === 'postgres_changes') && (state === 'joined' || state === 'joining'))
      throw new RealtimeError('already-joined', `cannot add \`${kind}\` callbacks for ${this.topic} after \`subscribe()\`.`)
    const binding: Binding = { type: kind, filter: plainFilter(filter), callback }
    if (kind === 'postgres_changes' && this.#changes.some((other) => isSameFilter(other.filter, binding.filter)))
      this.#host.log('channel', `ignored a second listener for the same changes on ${this.topic}`, binding.filter)
    else this.#listeners.add(binding)
    return this
  }

  onBroadcast(event: string, callback: (message: BroadcastMessage) => void): this {
    return this.on('broadcast', { event }, callback)
  }

  onPresenceSync(callback: () => void): this {
    return this.on('presence', { event: 'sync' }, () => callback())
  }

  /** `current`: who was there under this key before; `joined`: who has come. */
  onPresenceJoin(callback: (key: string, current: Presence[], joined: Presence[]) => void): this {
    return this.on('presence', { event: 'join' }, (event) => {
      if (event.event === 'join') callback(event.key, event.currentPresences, event.newPresences)
    })
  }

  /** `current`: who is still there under this key; `left`: who has gone. */
  onPresenceLeave(callback: (key: string, current: Presence[], left: Presence[]) => void): this {
    return this.on('presence', { event: 'leave' }, (event) => {
      if (event.event === 'leave') callback(event.key, event.currentPresences, event.leftPresences)
    })
  }

  onPostgresChanges(event: '*' | 'INSERT' | 'UPDATE' | 'DELETE', filter: ChangeFilter, callback: (change: ChangePayload) => void): this {
    return this.on('postgres_changes', { event, ...filter }, callback)
  }

  onSystem(callback: (payload: SystemPayload) => void): this {
    return this.on('system', {}, callback)
  }

  /**
   * Sends a message. Over the socket when joined; a broadcast on a channel that is not goes over HTTP, with a warning.
   * Broadcasts without `ack` are `ok` as soon as they are written; everything else waits for the server's reply.
   * Rejects with a RealtimeError on misuse: not subscribed, not serializable, a name that is too long.
   */
  async send(
    message: { type: 'broadcast' | 'presence' | 'postgres_changes'; event: string; payload?: unknown; [key: string]: unknown },
    options: { timeout?: number; [key: string]: unknown } = {},
  ): Promise<SendResponse> {
    const { timeout: timeoutMs = this.#joining.joinTimeoutMs } = options
    const isBroadcast = message.type === 'broadcast'
    const canPush = this.isJoined && this.#host.isUp
    if (isBroadcast && !canPush) return this.#sendOverHttp(message, options.timeout)
    const payload = isBroadcast && message.payload === undefined ? { ...message, payload: {} } : message
    try {
      if (isBroadcast && this.params.config.broadcast?.ack !== true) this.#write('broadcast', payload)
      else await this.#push({ event: message.type, payload, timeoutMs }, canPush)
      return 'ok'
    } catch (error) {
      return responseOf(error as RealtimeError)
    }
  }

  sendBroadcast(event: string, payload: unknown, options?: { timeout?: number }): Promise<SendResponse> {
    return this.send({ type: 'broadcast', event, payload }, options)
  }

  /** Shows this client to the others, now and after each rejoin, until `untrack`. */
  track(payload: { [key: string]: unknown }, options?: { timeout?: number }): Promise<SendResponse> {
    return this.send({ type: 'presence', event: 'track', payload }, options)
  }

  untrack(options?: { timeout?: number }): Promise<SendResponse> {
    return this.send({ type: 'presence', event: 'untrack' }, options)
  }

  /** Who is here, by key. The same object until that changes; do not write to it. */
  presenceState(): PresenceSnapshot {
    return this.#presence.snapshot()
  }

  get presence(): { readonly state: PresenceSnapshot } {
    return { state: this.#presence.snapshot() }
  }

  /** Sends a broadcast over HTTP, joined or not. Bytes go as bytes. Rejects with a RealtimeError unless the server took it. */
  async httpSend(event: string, payload: unknown, options: { timeout?: number } = {}): Promise<{ success: true }> {
    if (payload === undefined || payload === null) throw new RealtimeError('bad-argument', 'Payload is required for httpSend()')
    const path = `/${encodeURIComponent(this.subTopic)}/events/${encodeURIComponent(event)}${this.private ? '?private=true' : ''}`
    const { status, statusText, body } = await this.#host.post(path, bytesOf(payload) ?? toJson(payload), options.timeout)
    if (status === 202) return { success: true }
    const hint = 'httpSend() requires Realtime server v2.97.0 or newer; the endpoint returned 404.'
    throw new RealtimeError('http-failed', status === 404 ? hint : messageOf(body) || statusText || `HTTP ${status}`, {
      cause: { status, body },
      retryable: status === 429 || status >= 500,
    })
  }

  /** Adds to what the next join says. */
  updateJoinPayload(payload: { [key: string]: unknown }): void {
    this.#extraJoinPayload = { ...this.#extraJoinPayload, ...payload }
  }

  /** Takes over the listeners of another channel. */
  copyBindings(other: RealtimeChannel): void {
    if (this.joinedOnce) throw new RealtimeError('already-joined', 'cannot copy bindings into joined channel')
    for (const list of Object.values(other.bindings))
      for (const { type, filter, callback } of list) this.#listeners.add({ type, filter, callback })
  }

  get #changes(): readonly Binding[] {
    return this.#listeners.of('postgres_changes')
  }

  get #isReady(): boolean {
    return this.isJoined && this.#isLive
  }

  #joinPayload(): JsonObject {
    const { broadcast, presence, private: isPrivate, postgres_changes_options } = this.params.config
    const { token } = this.#host
    return {
      config: {
        broadcast,
        presence: { ...presence, enabled: presence?.enabled === true || this.#listeners.of('presence').length > 0 },
        postgres_changes: changeEntries(this.#changes),
        private: isPrivate,
        ...(postgres_changes_options === undefined ? {} : { postgres_changes_options }),
      },
      ...(token === null ? {} : { access_token: token }),
      ...this.#extraJoinPayload,
    }
  }

  #perform(effect: ChannelEffect, timer: (afterMs: number | null) => void): void {
    const host = this.#host
    switch (effect.type) {
      case 'timer':
        return timer(effect.afterMs)
      case 'authorize':
        return host.authorize((error) =>
          this.#machine.send(
            error === undefined ? { type: 'authorized', ref: effect.ref } : { type: 'unauthorized', ref: effect.ref, error },
          ),
        )
      case 'send-join':
        this.#presence.restart()
        this.#systemError = null
        this.#joinToken = host.token
        return this.#tryWrite({ joinRef: effect.ref, ref: effect.ref, topic: this.topic, event: 'phx_join', payload: this.#joinPayload() })
      case 'send-leave':
        return this.#tryWrite({ joinRef: effect.joinRef, ref: host.nextRef(), topic: this.topic, event: 'phx_leave', payload: {} })
      case 'lost':
        this.#isLive = false
        return this.#pushes.failSent(new RealtimeError('connection-lost', 'The reply was lost with the connection.', { retryable: true }))
      case 'removed':
        host.detach(this.#attached)
        this.#presence.clear()
        this.#tracked = undefined
        this.#isLive = false
        return this.#giveUp(new RealtimeError('channel-closed', `${this.topic} was closed.`))
      case 'status':
        return this.#notify(effect.status, effect.error)
    }
  }

  #notify(status: SubscribeStatus, error?: Error): void {
    if (status === 'SUBSCRIBED') this.#settleIn()
    else this.#host.log('channel', `${status} ${this.topic}`, error)
    for (const callback of this.#callbacks)
      this.#listeners.call('subscribe', () => (error === undefined ? callback(status) : callback(status, error)))
    if (this.#isReady) for (const waiter of this.#ready) waiter.resolve()
    else if (error instanceof RealtimeError && !error.retryable) for (const waiter of this.#ready) waiter.reject(error)
  }

  /** After each join: what was tracked is tracked again, and what was held back goes out. */
  #settleIn(): void {
    this.#isLive = this.#changes.length === 0 || this.params.config.postgres_changes_options?.wait === true
    if (this.#host.token !== this.#joinToken) this.#tokenChanged()
    const tracked = this.#tracked
    if (tracked !== undefined && !this.#pushes.holds('presence'))
      this.#push({ event: 'presence', payload: tracked, timeoutMs: this.#host.options.timeoutMs }, true).catch((error: unknown) =>
        this.#host.log('channel', `presence could not be tracked again on ${this.topic}`, error),
      )
    this.#pushes.flush()
  }

  #giveUp(error: RealtimeError): void {
    this.#pushes.failAll(error)
    for (const waiter of this.#ready) waiter.reject(error)
  }

  #push(push: Push, now: boolean): Promise<unknown> {
    if (this.isClosed)
      throw new RealtimeError(
        'not-joined',
        `tried to push '${push.event}' to '${this.topic}' before joining. Use channel.subscribe() before pushing events`,
      )
    return this.#pushes.push(push, now)
  }

  #write(event: string, payload: unknown): string {
    const ref = this.#host.nextRef()
    const { state } = this.#machine
    this.#host.write({ joinRef: state.kind === 'joined' ? state.joinRef : null, ref, topic: this.topic, event, payload })
    if (event === 'presence') this.#tracked = (payload as { readonly event?: unknown }).event === 'track' ? payload : undefined
    return ref
  }

  #tryWrite(message: Message): void {
    try {
      this.#host.write(message)
    } catch (error) {
      this.#machine.send({ type: 'refused', ref: String(message.ref), error: error as RealtimeError })
    }
  }

  #tokenChanged(): void {
    const { token, isUp } = this.#host
    if (this.isJoined && isUp) this.#write('access_token', { access_token: token })
    else this.#machine.send({ type: 'token-changed', isUp, ref: this.#host.nextRef() })
  }

  #receive(message: Message): void {
    const { event, payload } = message
    const { state } = this.#machine
    const joinRef = 'joinRef' in state ? state.joinRef : null
    // The end of an older join of this topic is not ours. Under 1.0.0 its join ref stands in `ref`.
    const theirs = message.joinRef ?? (event === 'phx_close' || event === 'phx_error' ? message.ref : null)
    if (theirs !== null && String(theirs) !== joinRef) return
    switch (event) {
      case 'phx_reply':
        return this.#onReply(String(message.ref), payload)
      case 'phx_error':
        return this.#machine.send({
          type: 'crashed',
          error: new RealtimeError('channel-crashed', 'channel error: transport failure', { cause: payload, retryable: true }),
        })
      case 'phx_close':
        return this.#onClose()
      case 'broadcast':
        return this.#listeners.emit('broadcast', payload, ({ filter }) =>
          matchesEvent(filter['event'], isJsonObject(payload) ? payload['event'] : undefined),
        )
      case 'presence_state':
        return this.#onPresence(this.#presence.applyState(payload))
      case 'presence_diff':
        return this.#onPresence(this.#presence.applyDiff(payload))
      case 'postgres_changes':
        return this.#onChange(payload)
      case 'system':
        return this.#onSystem(payload)
      default:
        return this.#listeners.emit(event, payload, () => true)
    }
  }

  #onReply(ref: string, payload: unknown): void {
    const { status, response } = isJsonObject(payload) ? payload : { status: 'error', response: payload }
    const { state } = this.#machine
    if (state.kind !== 'joining' || state.phase !== 'reply' || state.joinRef !== ref) {
      this.#pushes.reply(ref, status === 'ok', response)
      return
    }
    if (status !== 'ok') return this.#machine.send({ type: 'refused', ref, error: refusal(response) })
    const missing = assignIds(this.#changes, isJsonObject(response) ? response['postgres_changes'] : undefined)
    if (missing === undefined) return this.#machine.send({ type: 'accepted', ref })
    this.#machine.send({ type: 'leave' })
    const error = new RealtimeError('binding-mismatch', 'mismatch between server and client bindings for postgres changes', {
      cause: { missing: missing.filter, response },
    })
    this.#notify('CHANNEL_ERROR', error)
  }

  /** A channel that was closed because its token ran out comes back with a new one, if there is somebody to ask. */
  #onClose(): void {
    const error = this.#systemError === null ? null : refusal(this.#systemError.message)
    if (error?.code === 'token-expired' && this.#host.options.canRefresh) this.#machine.send({ type: 'crashed', error })
    else this.#machine.send({ type: 'closed' })
  }

  #onPresence(events: readonly PresenceEvent[]): void {
    for (const event of events) this.#listeners.emit('presence', event, ({ filter }) => matchesEvent(filter['event'], event.event))
  }

  #onChange(payload: unknown): void {
    if (!isJsonObject(payload) || !Array.isArray(payload['ids']) || !isJsonObject(payload['data'])) return
    const ids = payload['ids'] as unknown[]
    const data = payload['data'] as unknown as Parameters<typeof toChangePayload>[0]
    let change: ChangePayload | undefined
    for (const binding of this.#changes)
      if (wantsChange(binding, ids, data.type))
        this.#listeners.call('postgres_changes', () => binding.callback((change ??= toChangePayload(data)) as never))
  }

  #onSystem(payload: unknown): void {
    if (isJsonObject(payload)) {
      const system = payload as unknown as SystemPayload
      if (system.status === 'error') this.#systemError = system
      if (system.extension === 'postgres_changes') this.#onChangesStatus(system)
    }
    this.#listeners.emit('system', payload, () => true)
  }

  #onChangesStatus(system: SystemPayload): void {
    this.#isLive = system.status === 'ok'
    if (this.#isReady) for (const waiter of this.#ready) waiter.resolve()
    else for (const waiter of this.#ready) waiter.reject(refusal(system.message))
  }

  async #sendOverHttp(message: { event: string; payload?: unknown }, timeoutMs: number | undefined): Promise<SendResponse> {
    this.#host.warn(`${this.topic} is not joined, so send() went over HTTP. Subscribe first, or say httpSend().`)
    const { event, payload } = message
    const body = toJson({ messages: [{ topic: this.subTopic, event, payload, private: this.private }] })
    try {
      const { status } = await this.#host.post('', body, timeoutMs)
      return status >= 200 && status < 300 ? 'ok' : 'error'
    } catch (error) {
      return responseOf(error as RealtimeError)
    }
  }
}

function plainFilter(filter: object): JsonObject {
  const { filter: built } = filter as { readonly filter?: string | { build(): string } }
  return typeof built === 'object' && built !== null ? { ...filter, filter: built.build() } : { ...filter }
}

/** What `send` resolves with; misuse is thrown instead. */
function responseOf(error: RealtimeError): SendResponse {
  switch (error.code) {
    case 'timeout':
    case 'connection-lost':
      return 'timed out'
    case 'not-serializable':
    case 'name-too-long':
    case 'not-joined':
      throw error
    default:
      return 'error'
  }
}

function bytesOf(payload: unknown): Uint8Array | undefined {
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload)
  return ArrayBuffer.isView(payload) ? new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength) : undefined
}

/** JSON text. Throws a RealtimeError for cycles, BigInt and the like. */
export function toJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new RealtimeError('not-serializable', 'The payload cannot be written as JSON.', { cause })
  }
}

function messageOf(body: string): string {
  try {
    const { error, message } = JSON.parse(body) as { readonly error?: unknown; readonly message?: unknown }
    return typeof error === 'string' ? error : typeof message === 'string' ? message : ''
  } catch {
    return ''
  }
}

function aborted(signal: AbortSignal): RealtimeError {
  return new RealtimeError('aborted', 'The wait was aborted.', { cause: signal.reason })
}
