import { RealtimeError, TOPIC_PREFIX } from '@tidewire/protocol'
import type {
  AnyMessage,
  EventOf,
  ListenOptions,
  OutgoingMessage,
  RealtimeChannelOptions,
  RealtimeChannelSendResponse,
  SendOptions,
  SubscribeCallback,
} from './channel/channel-options.ts'
import { isSameFilter, plainFilter } from './listen/change-bindings.ts'
import type { RowOf, SchemaOf, TableOf, UntypedDatabase } from './listen/database.ts'
import { httpSend } from './channel/http.ts'
import { iterate, type IterationOptions } from './listen/iteration.ts'
import type { Binding } from './listen/listeners.ts'
import { Membership } from './channel/membership.ts'
import type {
  BroadcastMessage,
  ChangeEvent,
  ChangeFilter,
  ChangeOf,
  Presence,
  PresenceEvent,
  PresenceSnapshot,
  RealtimeBroadcastPersist,
  RealtimePostgresChangesFilter,
  RealtimePresenceJoinPayload,
  RealtimePresenceLeavePayload,
  RealtimePresenceUpdatePayload,
  RealtimeSystemPayload,
  Rejoin,
  Untyped,
  UntypedEvents,
  UntypedRow,
} from './listen/payloads.ts'
import type { ChannelHost } from './channel/ports.ts'
import { RealtimePresence } from './compat/presence.ts'
import type { Schemas } from './listen/schema.ts'
import { send } from './channel/send.ts'
import { sendWithAck, type AckOptions, type AckResult } from './channel/send-with-ack.ts'

/** Under this name a client keeps what its channels need of it. */
export const HOST: unique symbol = Symbol('host')

/** One membership of one topic: broadcast, presence and Postgres changes. */
export class RealtimeChannel<Events extends object = UntypedEvents, Database = UntypedDatabase, Meta extends object = UntypedRow> {
  /** As on the wire, with the prefix `realtime:`. */
  readonly topic: string
  readonly subTopic: string
  readonly socket: object
  readonly broadcastEndpointURL: string
  readonly private: boolean
  readonly presence: RealtimePresence<Meta>
  params: RealtimeChannelOptions
  readonly #membership: Membership

  constructor(topic: string, params: RealtimeChannelOptions & { schemas?: Schemas } = { config: {} }, socket: object) {
    const { [HOST]: host } = socket as { readonly [HOST]?: ChannelHost }
    if (host === undefined) throw new RealtimeError('bad-argument', 'A channel needs a RealtimeClient.')
    const config = { broadcast: { ack: false, self: false }, presence: { key: '', enabled: false }, private: false, ...params.config }
    this.topic = topic
    this.subTopic = topic.startsWith(TOPIC_PREFIX) ? topic.slice(TOPIC_PREFIX.length) : topic
    this.socket = socket
    this.broadcastEndpointURL = host.options.httpUrl
    this.params = { ...params, config }
    this.private = config.private
    if (!this.private && config.broadcast.replay)
      throw new RealtimeError('bad-option', `tried to use replay on public channel '${topic}'. It must be a private channel.`)
    this.#membership = new Membership(this, topic, config, params.schemas, host)
    this.presence = new RealtimePresence<Meta>(this)
    host.attach(this.#membership)
  }

  get state(): 'closed' | 'errored' | 'joined' | 'joining' | 'leaving' {
    return this.#membership.kind
  }

  get joinedOnce(): boolean {
    return this.#membership.joinedOnce
  }

  get timeout(): number {
    return this.#membership.joinTimeoutMs
  }

  /** The listeners by type, in the order in which they were added. */
  get bindings(): { readonly [type: string]: readonly Binding[] } {
    return this.#membership.listeners.bindings
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
  subscribe(callback?: SubscribeCallback, timeout: number = this.#membership.host.options.timeoutMs): this {
    this.#membership.subscribe(callback, timeout)
    return this
  }

  /** Leaves the topic. Always done at once; the channel may be subscribed again. */
  unsubscribe(_timeout?: number): Promise<'ok' | 'timed out' | 'error'> {
    this.#membership.leave()
    return Promise.resolve('ok')
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#membership.leave()
    return Promise.resolve()
  }

  /** Stops all timers and settles all promises, without a word to the server. */
  teardown(): void {
    this.#membership.end()
  }

  /**
   * Resolves once the channel is joined and, with Postgres changes, once the server says that they flow. Subscribes if
   * need be. Rejects with a RealtimeError when that takes longer than `timeout` (milliseconds, default: the client's),
   * when the server refuses for good, when the channel is left, or when `signal` aborts.
   */
  ready(options: { timeout?: number; signal?: AbortSignal } = {}): Promise<void> {
    return this.#membership.ready(options.timeout ?? this.#membership.host.options.timeoutMs, options.signal)
  }

  /** Listens. Presence and Postgres changes are part of the join, so they must be asked for before `subscribe`. */
  on<Event extends EventOf<Events>>(
    type: 'broadcast',
    filter: { event: Event },
    callback: (message: BroadcastMessage<Events[Event], Event>) => void,
    options?: ListenOptions,
  ): this
  on(type: 'broadcast', filter: { event: '*' }, callback: (message: AnyMessage<Events>) => void, options?: ListenOptions): this
  on<Payload extends { [key: string]: Untyped }>(
    type: 'broadcast',
    filter: { event: string },
    callback: (message: BroadcastMessage<Payload>) => void,
    options?: ListenOptions,
  ): this
  on(type: 'presence', filter: { event: 'sync' }, callback: () => void, options?: ListenOptions): this
  on<M extends { [key: string]: Untyped } = Meta & UntypedRow>(
    type: 'presence',
    filter: { event: 'join' },
    callback: (event: RealtimePresenceJoinPayload<M>) => void,
    options?: ListenOptions,
  ): this
  on<M extends { [key: string]: Untyped } = Meta & UntypedRow>(
    type: 'presence',
    filter: { event: 'leave' },
    callback: (event: RealtimePresenceLeavePayload<M>) => void,
    options?: ListenOptions,
  ): this
  on<M extends { [key: string]: Untyped } = Meta & UntypedRow>(
    type: 'presence',
    filter: { event: 'update' },
    callback: (event: RealtimePresenceUpdatePayload<M>) => void,
    options?: ListenOptions,
  ): this
  on(type: 'presence', filter: { event: '*' }, callback: (event: PresenceEvent<Meta>) => void, options?: ListenOptions): this
  on<Schema extends SchemaOf<Database>, Table extends TableOf<Database, Schema>, Event extends ChangeEvent | '*'>(
    type: 'postgres_changes',
    filter: ChangeFilter<RowOf<Database, Schema, Table>> & { event: Event; schema: Schema; table?: Table },
    callback: (change: ChangeOf<RowOf<Database, Schema, Table>, Event>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter<'INSERT'>,
    callback: (change: ChangeOf<Row, 'INSERT'>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter<'UPDATE'>,
    callback: (change: ChangeOf<Row, 'UPDATE'>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter<'DELETE'>,
    callback: (change: ChangeOf<Row, 'DELETE'>) => void,
    options?: ListenOptions,
  ): this
  on<Row extends { [key: string]: Untyped }>(
    type: 'postgres_changes',
    filter: RealtimePostgresChangesFilter,
    callback: (change: ChangeOf<Row, '*'>) => void,
    options?: ListenOptions,
  ): this
  on(type: 'system', filter: object, callback: (payload: RealtimeSystemPayload) => void, options?: ListenOptions): this
  on(type: string, filter: object, callback: (payload: never) => void, options: ListenOptions = {}): this {
    const kind = type.toLowerCase()
    if ((kind === 'presence' || kind === 'postgres_changes') && (this.isJoined || this.isJoining))
      throw new RealtimeError('already-joined', `cannot add \`${kind}\` callbacks for ${this.topic} after \`subscribe()\`.`)
    return this.#listen(kind, filter, callback, options)
  }

  /** Takes listeners back: those of this callback, or all of the type. */
  off(type: 'broadcast' | 'presence' | 'postgres_changes' | 'system', callback?: (payload: never) => void): this {
    this.#membership.listeners.remove(type, (binding) => callback === undefined || binding.callback === callback)
    return this
  }

  onBroadcast<Event extends EventOf<Events>>(
    event: Event,
    callback: (message: BroadcastMessage<Events[Event], Event>) => void,
    options?: ListenOptions,
  ): this
  onBroadcast(event: '*', callback: (message: AnyMessage<Events>) => void, options?: ListenOptions): this
  onBroadcast(event: string, callback: (message: never) => void, options: ListenOptions = {}): this {
    return this.#listen('broadcast', { event }, callback, options)
  }

  onPresenceSync(callback: () => void, options?: ListenOptions): this {
    return this.on('presence', { event: 'sync' }, () => callback(), options)
  }

  /** `current`: who was there under this key before; `joined`: who has come. */
  onPresenceJoin(callback: (key: string, current: Presence<Meta>[], joined: Presence<Meta>[]) => void, options?: ListenOptions): this {
    const listener = (event: RealtimePresenceJoinPayload<Meta>): void => callback(event.key, event.currentPresences, event.newPresences)
    return this.on('presence', { event: 'join' }, listener as (event: RealtimePresenceJoinPayload<Untyped>) => void, options)
  }

  /** `current`: who is still there under this key; `left`: who has gone. */
  onPresenceLeave(callback: (key: string, current: Presence<Meta>[], left: Presence<Meta>[]) => void, options?: ListenOptions): this {
    const listener = (event: RealtimePresenceLeavePayload<Meta>): void => callback(event.key, event.currentPresences, event.leftPresences)
    return this.on('presence', { event: 'leave' }, listener as (event: RealtimePresenceLeavePayload<Untyped>) => void, options)
  }

  /** What was tracked under a key was replaced; it is also told as a join and a leave. */
  onPresenceUpdate(callback: (key: string, previous: Presence<Meta>[], current: Presence<Meta>[]) => void, options?: ListenOptions): this {
    const listener = (event: RealtimePresenceUpdatePayload<Meta>): void => callback(event.key, event.previousPresences, event.newPresences)
    return this.on('presence', { event: 'update' }, listener as (event: RealtimePresenceUpdatePayload<Untyped>) => void, options)
  }

  onPostgresChanges<Schema extends SchemaOf<Database>, Table extends TableOf<Database, Schema>, Event extends ChangeEvent | '*'>(
    event: Event,
    filter: ChangeFilter<RowOf<Database, Schema, Table>> & { schema: Schema; table?: Table },
    callback: (change: ChangeOf<RowOf<Database, Schema, Table>, Event>) => void,
    options?: ListenOptions,
  ): this {
    return this.on('postgres_changes', { event, ...filter }, callback, options)
  }

  onSystem(callback: (payload: RealtimeSystemPayload) => void, options?: ListenOptions): this {
    return this.on('system', {}, callback, options)
  }

  /** After each rejoin: whether what was missed came in. */
  onRejoin(callback: (rejoin: Rejoin) => void, options: ListenOptions = {}): this {
    return this.#listen('rejoin', { event: '*' }, callback, options)
  }

  /** After each rejoin that may have missed something: the one place to fetch anew. */
  onGap(callback: (rejoin: Rejoin) => void, options: ListenOptions = {}): this {
    return this.#listen('rejoin', { event: 'gap' }, callback, options)
  }

  /** Broadcasts as they come, from now on: `for await (const message of channel.broadcasts('move'))`. */
  broadcasts<Event extends EventOf<Events>>(
    event: Event,
    options?: IterationOptions,
  ): AsyncIterableIterator<BroadcastMessage<Events[Event], Event>> {
    return this.#iterate(options, (take, signal) => this.#listen('broadcast', { event }, take, { signal }))
  }

  /** Postgres changes as they come. To be asked for before the channel is subscribed. */
  changesOf<Schema extends SchemaOf<Database>, Table extends TableOf<Database, Schema>, Event extends ChangeEvent | '*'>(
    event: Event,
    filter: ChangeFilter<RowOf<Database, Schema, Table>> & { schema: Schema; table?: Table },
    options?: IterationOptions,
  ): AsyncIterableIterator<ChangeOf<RowOf<Database, Schema, Table>, Event>> {
    return this.#iterate(options, (take, signal) => this.onPostgresChanges(event, filter, take, { signal }))
  }

  /** Who is here, each time that changes. To be asked for before the channel is subscribed. */
  presences(options?: IterationOptions): AsyncIterableIterator<PresenceSnapshot<Meta>> {
    return this.#iterate(options, (take, signal) => this.onPresenceSync(() => take(this.presenceState()), { signal }))
  }

  /**
   * Sends a message. Over the socket when joined; a broadcast on a channel that is not goes over HTTP, with a warning.
   * Broadcasts without `ack` are `ok` as soon as they are written; everything else waits for the server's reply.
   * Rejects with a RealtimeError on misuse: not subscribed, not serializable, a name that is too long.
   */
  send(message: OutgoingMessage, options: SendOptions = {}): Promise<RealtimeChannelSendResponse> {
    return send(this, this.#membership, message, options)
  }

  sendBroadcast<Event extends EventOf<Events>>(
    event: Event,
    payload: Events[Event],
    options?: SendOptions,
  ): Promise<RealtimeChannelSendResponse> {
    return this.send({ type: 'broadcast', event, payload }, options)
  }

  /**
   * Sends a broadcast and says what became of it: never rejects. Tries again while the failure is one that may pass, up
   * to `retries` times and across reconnects, under one `idempotencyKey`. Needs a channel with `broadcast.ack`.
   */
  sendWithAck<Event extends EventOf<Events>>(event: Event, payload: Events[Event], options: AckOptions = {}): Promise<AckResult> {
    return sendWithAck(this.#membership, event, payload, options)
  }

  /** Shows this client to the others, now and after each rejoin, until `untrack`. */
  track(payload: Meta, options?: SendOptions): Promise<RealtimeChannelSendResponse> {
    return this.send({ type: 'presence', event: 'track', payload }, options)
  }

  untrack(options?: SendOptions): Promise<RealtimeChannelSendResponse> {
    return this.send({ type: 'presence', event: 'untrack' }, options)
  }

  /** Who is here, by key. The same object until that changes; do not write to it. */
  presenceState<M extends object = Meta>(): PresenceSnapshot<M> {
    return this.#membership.presence.snapshot() as PresenceSnapshot<M>
  }

  /** Sends a broadcast over HTTP, joined or not. Bytes go as bytes. Rejects with a RealtimeError unless the server took it. */
  httpSend<Event extends EventOf<Events>>(
    event: Event,
    payload: Events[Event],
    options: { timeout?: number; persist?: RealtimeBroadcastPersist } = {},
  ): Promise<{ success: true } | { success: false; status: number; error: string }> {
    return httpSend(this, this.#membership.host, event, payload, options)
  }

  /** Adds to what the next join says. */
  updateJoinPayload(payload: { [key: string]: Untyped }): void {
    this.#membership.updateJoinPayload(payload)
  }

  /** Takes over the listeners of another channel. */
  copyBindings(other: { readonly bindings: { readonly [type: string]: readonly Binding[] } }): void {
    if (this.joinedOnce) throw new RealtimeError('already-joined', 'cannot copy bindings into joined channel')
    for (const { type, filter, callback } of Object.values(other.bindings).flat()) this.#listen(type, filter, callback, {})
  }

  #listen(type: string, filter: object, callback: (payload: never) => void, { signal }: ListenOptions): this {
    if (signal?.aborted === true) return this
    const { listeners, changes, host } = this.#membership
    const binding: Binding = { type, filter: plainFilter(filter), callback }
    if (type === 'postgres_changes' && changes.some((other) => isSameFilter(other.filter, binding.filter))) {
      host.log('channel', `ignored a second listener for the same changes on ${this.topic}`, binding.filter)
      return this
    }
    listeners.add(binding, signal)
    return this
  }

  #iterate<Item>(
    options: IterationOptions | undefined,
    listen: (take: (item: Item) => void, signal: AbortSignal) => void,
  ): AsyncIterableIterator<Item> {
    const { ends } = this.#membership
    return iterate(options, (take, end, signal) => {
      listen(take, signal)
      ends.add(end)
      signal.addEventListener('abort', () => ends.delete(end))
      return () => this.isClosed && this.subscribe()
    })
  }
}
