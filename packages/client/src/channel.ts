import { RealtimeError, TOPIC_PREFIX } from '@tidewire/protocol'
import type {
  EventOf,
  OutgoingMessage,
  RealtimeChannelOptions,
  RealtimeChannelSendResponse,
  SendOptions,
  SubscribeCallback,
} from './channel/channel-options.ts'
import { httpSend } from './channel/http.ts'
import { Membership } from './channel/membership.ts'
import type { ChannelHost } from './channel/ports.ts'
import { send } from './channel/send.ts'
import { sendWithAck, type AckOptions, type AckResult } from './channel/send-with-ack.ts'
import { hostOf } from './compat/host.ts'
import { RealtimePresence } from './compat/presence.ts'
import { ChannelListeners } from './listen/channel-listeners.ts'
import type { UntypedDatabase } from './listen/database.ts'
import type { PresenceSnapshot, RealtimeBroadcastPersist, Untyped, UntypedEvents, UntypedRow } from './listen/payloads.ts'
import type { Schemas } from './listen/schema.ts'

/** A topic that a client joins: broadcast, presence and Postgres changes. */
export class RealtimeChannel<
  Events extends object = UntypedEvents,
  Database = UntypedDatabase,
  Meta extends object = UntypedRow,
> extends ChannelListeners<Events, Database, Meta> {
  /** As on the wire, with the prefix `realtime:`. */
  readonly topic: string
  readonly subTopic: string
  readonly socket: object
  readonly broadcastEndpointURL: string
  readonly private: boolean
  readonly presence: RealtimePresence<Meta>
  params: RealtimeChannelOptions
  readonly #host: ChannelHost
  readonly #membership: Membership

  constructor(topic: string, params: RealtimeChannelOptions & { schemas?: Schemas } = { config: {} }, socket: object) {
    const host = hostOf(socket)
    const config = { broadcast: { ack: false, self: false }, presence: { key: '', enabled: false }, private: false, ...params.config }
    if (!config.private && config.broadcast.replay)
      throw new RealtimeError('bad-option', `tried to use replay on public channel '${topic}'. It must be a private channel.`)
    const membership = new Membership(topic, config, params.schemas, host)
    super(membership)
    this.topic = topic
    this.subTopic = topic.startsWith(TOPIC_PREFIX) ? topic.slice(TOPIC_PREFIX.length) : topic
    this.socket = socket
    this.broadcastEndpointURL = host.options.httpUrl
    this.params = { ...params, config }
    this.private = config.private
    this.presence = new RealtimePresence<Meta>(this)
    this.#host = host
    this.#membership = membership
    membership.owner = this
    host.attach(membership)
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

  /** The last fault: why the channel is errored, or why changes do not flow although it is joined. `null` once it is well. */
  get error(): RealtimeError | null {
    return this.#membership.error
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

  /** Stops all timers and settles all promises, without a message to the server. */
  teardown(): void {
    this.#membership.end()
  }

  /**
   * Resolves once the channel is joined and, with Postgres changes, once the server says that they flow. Subscribes if
   * need be. Rejects with a RealtimeError when that takes longer than `timeout` (milliseconds, default: the client's),
   * when the server refuses for good, when the channel is left, or when `signal` aborts.
   */
  ready(options: { timeout?: number; signal?: AbortSignal } = {}): Promise<void> {
    return this.#membership.ready(options.timeout ?? this.#host.options.timeoutMs, options.signal)
  }

  /**
   * Sends a message. Over the socket when joined; a broadcast on a channel that is not goes over HTTP, with a warning.
   * Broadcasts without `ack` are `ok` as soon as they are written; everything else waits for the server's reply.
   * Rejects with a RealtimeError on misuse: not subscribed, not serializable, a name that is too long.
   */
  send(message: OutgoingMessage, options: SendOptions = {}): Promise<RealtimeChannelSendResponse> {
    return send(this, this.#host, this.#membership, message, options)
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
    return sendWithAck(this.#host, this.#membership, event, payload, options)
  }

  /** Shows this client to the others, now and after each rejoin, until `untrack`. */
  track(payload: Meta, options?: SendOptions): Promise<RealtimeChannelSendResponse> {
    return this.send({ type: 'presence', event: 'track', payload }, options)
  }

  untrack(options?: SendOptions): Promise<RealtimeChannelSendResponse> {
    return this.send({ type: 'presence', event: 'untrack' }, options)
  }

  /** The presences by key. The same object until that changes; do not write to it. */
  presenceState<M extends object = Meta>(): PresenceSnapshot<M> {
    return this.#membership.presence.snapshot() as PresenceSnapshot<M>
  }

  /** Sends a broadcast over HTTP, joined or not. Bytes go as bytes. Rejects with a RealtimeError unless the server took it. */
  httpSend<Event extends EventOf<Events>>(
    event: Event,
    payload: Events[Event],
    options: { timeout?: number; persist?: RealtimeBroadcastPersist } = {},
  ): Promise<{ success: true } | { success: false; status: number; error: string }> {
    return httpSend(this, this.#host, event, payload, options)
  }

  /** Adds to what the next join says. */
  updateJoinPayload(payload: { [key: string]: Untyped }): void {
    this.#membership.updateJoinPayload(payload)
  }
}
