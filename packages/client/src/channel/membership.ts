import { isJsonObject, Machine, RealtimeError, type JsonObject, type Message, type SystemPayload } from '@tidewire/protocol'
import type { RealtimeChannelOptions, SubscribeCallback } from './channel-options.ts'
import { assignIds } from '../listen/change-bindings.ts'
import {
  channelTransition,
  closed,
  type ChannelEffect,
  type ChannelEvent,
  type ChannelOptions,
  type ChannelState,
  type SubscribeStatus,
} from './channel-state.ts'
import { Delivery } from '../listen/delivery.ts'
import { joinPayload, joinTimeoutMs } from './join.ts'
import { Listeners, type Binding } from '../listen/listeners.ts'
import { singleTimer } from '../timer.ts'
import type { ChannelHost, HostedChannel } from './ports.ts'
import { PresenceView } from './presence-view.ts'
import { Pushes, type Push } from './pushes.ts'
import { Readiness } from './readiness.ts'
import { Recovery } from './recovery.ts'
import { refusal } from './refusal.ts'
import type { Schemas } from '../listen/schema.ts'

/** A channel on the wire: its joins, its pushes, and its incoming messages. `RealtimeChannel` is its public face. */
export class Membership implements HostedChannel {
  readonly topic: string
  readonly host: ChannelHost
  readonly listeners: Listeners
  readonly presence: PresenceView = new PresenceView()
  readonly config: RealtimeChannelOptions['config']
  /** Called when the membership ends, before CLOSED is reported. */
  readonly ends: Set<() => void> = new Set()
  readonly schemas: Schemas
  owner: object = this
  /** Open handles of `hold`. */
  refCount = 0
  /** Whether `subscribe` was ever called. */
  joinedOnce = false

  readonly #pushes: Pushes
  readonly #readiness = new Readiness(this)
  readonly #recovery = new Recovery((rejoin) => this.listeners.emit('rejoin', rejoin.recovered ? '' : 'gap', rejoin))
  readonly #delivery = new Delivery(this, this.#recovery)
  readonly #machine: Machine<ChannelState, ChannelEvent, ChannelEffect>
  readonly #joining: ChannelOptions
  #callbacks: SubscribeCallback[] = []
  #extraJoinPayload: JsonObject = {}
  /** The payload that is tracked, to be tracked again after a rejoin. */
  #tracked: unknown = undefined
  /** The token that the last join was sent with. */
  #joinToken: string | null = null

  constructor(topic: string, config: RealtimeChannelOptions['config'], schemas: Schemas | undefined, host: ChannelHost) {
    // Its prototype is null: the names of events come from strangers.
    this.schemas = Object.assign(Object.create(null), schemas) as Schemas
    this.topic = topic
    this.config = config
    this.host = host
    this.listeners = new Listeners(host.report)
    this.#pushes = new Pushes(host, (push) => this.write(push.event, push.payload))
    this.#joining = { retryInMs: host.options.retryInMs, joinTimeoutMs: host.options.timeoutMs }
    const timer = singleTimer(host, () => this.#send({ type: 'timer', isUp: host.isUp, ref: host.nextRef() }))
    this.#machine = new Machine(
      closed,
      (state, event) => channelTransition(state, event, this.#joining),
      (effect) => this.#perform(effect, timer),
    )
  }

  get kind(): ChannelState['kind'] {
    return this.#machine.state.kind
  }

  get error(): RealtimeError | null {
    return this.#readiness.error
  }

  get joinTimeoutMs(): number {
    return this.#joining.joinTimeoutMs
  }

  get changes(): readonly Binding[] {
    return this.listeners.of('postgres_changes')
  }

  subscribe(callback?: SubscribeCallback, timeoutMs: number = this.host.options.timeoutMs): void {
    const { kind } = this
    if (kind === 'closed') {
      this.host.attach(this)
      this.#callbacks = []
      this.#recovery.restart()
      this.#joining.joinTimeoutMs = joinTimeoutMs(this.config, this.changes.length > 0, timeoutMs)
      this.joinedOnce = true
    }
    if (callback !== undefined && !this.#callbacks.includes(callback)) {
      this.#callbacks.push(callback)
      if (kind === 'joined') queueMicrotask(() => this.kind === 'joined' && this.listeners.call('subscribe', () => callback('SUBSCRIBED')))
    }
    this.#send({ type: 'subscribe', isUp: this.host.isUp, ref: this.host.nextRef() })
    this.host.connect()
  }

  leave(): void {
    this.#send({ type: 'leave' })
    this.host.detach(this)
  }

  /** Ends without a message to the server. */
  end(): void {
    this.#send({ type: 'closed' })
    this.host.detach(this)
  }

  up(): void {
    this.#send({ type: 'up', ref: this.host.nextRef() })
  }

  down(error: RealtimeError): void {
    this.#send({ type: 'down', error })
  }

  tokenChanged(): void {
    const { token, isUp } = this.host
    const { state } = this.#machine
    // If the socket does not take the token, the next join brings it.
    if (state.kind === 'joined' && isUp) this.#tryWrite('access_token', { access_token: token }, state.joinRef)
    else this.#send({ type: 'token-changed', isUp, ref: this.host.nextRef() })
  }

  /** Rejects all pending pushes and waiters. */
  giveUp(error: RealtimeError): void {
    this.#pushes.failAll(error)
    this.#readiness.giveUp(error)
  }

  ready(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted !== true) {
      if (this.kind === 'closed') this.subscribe()
      if (this.#readiness.isReady) return Promise.resolve()
    }
    return this.#readiness.wait({ timeoutMs, signal })
  }

  updateJoinPayload(payload: JsonObject): void {
    this.#extraJoinPayload = { ...this.#extraJoinPayload, ...payload }
  }

  /** Resolves with the response of the reply. Throws or rejects with a RealtimeError. */
  push(push: Push): Promise<unknown> {
    if (this.kind === 'closed')
      throw new RealtimeError(
        'not-joined',
        `tried to push '${push.event}' to '${this.topic}' before joining. Use channel.subscribe() before pushing events`,
      )
    return this.#pushes.push(push, this.canPush)
  }

  get canPush(): boolean {
    return this.kind === 'joined' && this.host.isUp
  }

  /** Writes a push without a waiter; returns its ref. Throws a RealtimeError. */
  write(event: string, payload: unknown): string {
    const ref = this.host.nextRef()
    const { state } = this.#machine
    this.host.write({ joinRef: state.kind === 'joined' ? state.joinRef : null, ref, topic: this.topic, event, payload })
    if (event === 'presence') this.#tracked = (payload as { readonly event?: unknown }).event === 'track' ? payload : undefined
    return ref
  }

  receive(message: Message): void {
    const { event, payload } = message
    const { state } = this.#machine
    const joinRef = 'joinRef' in state ? state.joinRef : null
    // Ignores the end of an older join of this topic. Under 1.0.0 its join ref stands in `ref`.
    const theirs = message.joinRef ?? (event === 'phx_close' || event === 'phx_error' ? message.ref : null)
    if (theirs !== null && String(theirs) !== joinRef) return
    switch (event) {
      case 'phx_reply':
        return this.#onReply(String(message.ref), payload)
      case 'phx_error':
        return this.#send({
          type: 'crashed',
          error: new RealtimeError('channel-crashed', 'channel error: transport failure', { cause: payload, retryable: true }),
        })
      case 'phx_close':
        return this.#onClose()
      case 'system':
        return this.#onSystem(payload)
      default:
        return this.#delivery.deliver(message)
    }
  }

  #send(event: ChannelEvent): void {
    this.#machine.send(event)
  }

  #perform(effect: ChannelEffect, timer: (afterMs: number | null) => void): void {
    const { host } = this
    switch (effect.type) {
      case 'timer':
        return timer(effect.afterMs)
      case 'authorize':
        return host.authorize(this, (error) =>
          this.#send(error === undefined ? { type: 'authorized', ref: effect.ref } : { type: 'refused', ref: effect.ref, error }),
        )
      case 'send-join': {
        this.presence.restart()
        this.#readiness.systemError = null
        this.#joinToken = host.token
        const payload = { ...joinPayload(this.config, this.listeners, host.token, this.#recovery.ask()), ...this.#extraJoinPayload }
        return this.#tryWrite('phx_join', payload, effect.ref, effect.ref)
      }
      case 'send-leave':
        return this.#tryWrite('phx_leave', {}, effect.joinRef)
      case 'lost':
        this.#readiness.isLive = false
        return this.#pushes.failSent(new RealtimeError('connection-lost', 'The reply was lost with the connection.', { retryable: true }))
      case 'removed':
        this.#readiness.isLive = false
        this.#tracked = undefined
        host.detach(this)
        this.presence.clear()
        for (const end of this.ends) end()
        return this.giveUp(new RealtimeError('channel-closed', `${this.topic} was closed.`))
      case 'status':
        host.settled(this)
        return this.#notify(effect.status, effect.error)
    }
  }

  #notify(status: SubscribeStatus, error: RealtimeError | null = null): void {
    if (status === 'SUBSCRIBED') this.#afterJoin()
    else this.host.log('channel', `${status} ${this.topic}`, error ?? undefined)
    this.#readiness.warnUnheard(error, this.#callbacks.length)
    if (status !== 'CLOSED') this.#readiness.setError(error)
    for (const callback of [...this.#callbacks])
      this.listeners.call('subscribe', () => (error === null ? callback(status) : callback(status, error)))
    if (status === 'SUBSCRIBED') this.#recovery.joined()
    this.#readiness.settle(error)
  }

  /** After each join: sends a token that changed meanwhile, the tracked presence, and the pushes that were held back. */
  #afterJoin(): void {
    this.#readiness.isLive = this.changes.length === 0 || this.config.postgres_changes_options?.wait === true
    if (this.host.token !== this.#joinToken) this.tokenChanged()
    const tracked = this.#tracked
    if (tracked !== undefined && !this.#pushes.holds('presence'))
      this.push({ event: 'presence', payload: tracked, timeoutMs: this.host.options.timeoutMs }).catch((error: unknown) =>
        this.host.log('channel', `presence not tracked again on ${this.topic}`, error),
      )
    this.#pushes.flush()
  }

  /** A message that the socket does not take counts as refused: that ends a join, and nothing else. */
  #tryWrite(event: string, payload: JsonObject, joinRef: string, ref: string = this.host.nextRef()): void {
    try {
      this.host.write({ joinRef, ref, topic: this.topic, event, payload })
    } catch (error) {
      this.#send({ type: 'refused', ref, error: error as RealtimeError })
    }
  }

  #onReply(ref: string, payload: unknown): void {
    const { status, response } = isJsonObject(payload) ? payload : { status: 'error', response: payload }
    const { state } = this.#machine
    if (state.kind !== 'joining' || state.phase !== 'reply' || state.joinRef !== ref) {
      const refused = this.#pushes.reply(ref, status === 'ok', response)
      if (refused !== undefined) this.#readiness.warnOnce(refused)
      return
    }
    if (status !== 'ok') return this.#send({ type: 'refused', ref, error: refusal(response, this.host.options.canRefresh) })
    const missing = assignIds(this.changes, isJsonObject(response) ? response['postgres_changes'] : undefined)
    if (missing === undefined) return this.#send({ type: 'accepted', ref })
    this.#send({ type: 'leave' })
    const error = new RealtimeError('binding-mismatch', 'mismatch between server and client bindings for postgres changes', {
      cause: { missing: missing.filter, response },
    })
    this.#notify('CHANNEL_ERROR', error)
  }

  /** A channel that was closed because its token ran out comes back with a new one, if there is an `accessToken` callback. */
  #onClose(): void {
    const { systemError } = this.#readiness
    const error = systemError === null ? null : refusal(systemError.message, this.host.options.canRefresh)
    if (error?.code === 'token-expired' && error.retryable) this.#send({ type: 'crashed', error })
    else this.end()
  }

  #onSystem(payload: unknown): void {
    if (isJsonObject(payload)) {
      const system = payload as unknown as SystemPayload
      this.#readiness.heard(system)
      if (system.extension === 'postgres_changes') this.#recovery.heard(system)
    }
    for (const binding of this.listeners.of('system')) this.listeners.notify(binding, payload)
  }
}
