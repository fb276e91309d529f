import { isJsonObject, Machine, PHOENIX_TOPIC, RealtimeError, type Message, type TimerHandle } from '@tidewire/protocol'
import { ChannelRegistry } from './channel-registry.ts'
import { Clock } from './clock.ts'
import {
  connectionTransition,
  disconnected,
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionState,
} from './connection-state.ts'
import { socketUrl } from './endpoint.ts'
import { Frames } from './frames.ts'
import { JoinQueue } from './join-queue.ts'
import { callSafely } from '../listen/listeners.ts'
import { lossError } from './loss.ts'
import { singleTimer } from '../timer.ts'
import { resolveOptions, type HeartbeatCallback, type RealtimeClientOptions, type ResolvedOptions } from '../options.ts'
import type { ChannelHost, HostedChannel } from '../channel/ports.ts'
import type { Runtime } from '../runtime.ts'
import { TokenSource, type TokenPort } from './token-source.ts'
import { Transport, type TransportPort } from './transport.ts'

const CLOSE_TIMEOUT_MS = 1500
/** Messages of `push` that wait for a connection; beyond this the oldest is dropped. */
const MOST_HELD = 100
/** Their payloads are not written to a log: they carry the token. */
const SECRET_EVENTS = ['phx_join', 'access_token']

/** A client on the wire: its connection, its token, and its channels by topic. `RealtimeClient` is its public face. */
export class Session implements ChannelHost, TokenPort, TransportPort {
  readonly given: RealtimeClientOptions
  readonly options: ResolvedOptions
  readonly runtime: Runtime
  readonly clock: Clock
  readonly auth: TokenSource
  readonly endPoint: string
  readonly registry: ChannelRegistry = new ChannelRegistry()
  readonly #joins: JoinQueue
  heartbeatCallback: HeartbeatCallback
  readonly stateListeners: Set<(state: ConnectionState) => void> = new Set()
  /** The last ref that was given out. */
  ref = 0

  readonly #connection: Machine<ConnectionState, ConnectionEvent, ConnectionEffect>
  readonly #frames: Frames
  readonly #transport: Transport
  readonly #emptyTimer: (afterMs: number | null) => void
  #held: Message[] = []
  #heartbeatSentMs = 0
  #disconnects: ((result: 'ok' | 'timeout') => void)[] = []

  constructor(endPoint: string, given: RealtimeClientOptions, runtime: Runtime) {
    this.given = given
    this.runtime = runtime
    this.options = resolveOptions(endPoint, given, runtime)
    this.endPoint = `${endPoint}/websocket`
    this.#frames = new Frames(given, this.options)
    this.heartbeatCallback = given.heartbeatCallback ?? (() => {})
    this.clock = new Clock(runtime, given, (cause) => this.log('worker', 'the worker failed', cause))
    const timer = this.clock.wakingTimer((overslept) =>
      this.drive({ type: overslept && this.isUp ? 'wake' : 'timer', ref: this.nextRef() }),
    )
    const options = { ...this.options, closeTimeoutMs: CLOSE_TIMEOUT_MS }
    this.#connection = new Machine(
      disconnected,
      (state, event) => connectionTransition(state, event, options),
      (effect) => this.#perform(effect, timer),
    )
    this.#emptyTimer = singleTimer(this, () => void this.disconnect())
    this.auth = new TokenSource(this)
    this.#joins = new JoinQueue((done) => this.auth.need(done))
    this.#transport = new Transport(this)
  }

  get state(): ConnectionState {
    return this.#connection.state
  }

  get isUp(): boolean {
    return this.state.kind === 'connected'
  }

  /** `disconnect` was not called. */
  get #isWanted(): boolean {
    const { kind } = this.state
    return kind !== 'disconnected' && kind !== 'closing'
  }

  get token(): string | null {
    return this.auth.value
  }

  get url(): string {
    return socketUrl(this.endPoint, this.options.params)
  }

  setTimer(run: () => void, afterMs: number): TimerHandle {
    return this.clock.setTimer(run, afterMs)
  }

  nextRef(): string {
    return String(++this.ref)
  }

  log(kind: string, text: string, data?: unknown): void {
    const { logger } = this.given
    if (logger !== undefined)
      callSafely(
        'logger',
        () => logger(kind, text, data),
        (error) => this.runtime.report(error),
      )
  }

  warn(text: string): void {
    if (this.given.logger === undefined) this.runtime.warn(text)
    else this.log('channel', text)
  }

  readonly report = (error: RealtimeError): void => {
    this.log('error', error.message, error.cause)
    this.runtime.report(error)
  }

  /** Connects for a channel. Does not cut a wait short: an application that subscribes again at each failure would retry without a pause. */
  connect(): void {
    if (this.state.kind !== 'waiting') this.connectNow()
  }

  connectNow(): void {
    this.drive({ type: 'connect' })
    this.#prefetchToken()
  }

  disconnect(code?: number, reason?: string): Promise<'ok' | 'timeout'> {
    this.#emptyTimer(null)
    this.drive({ type: 'disconnect', code, reason })
    const error = new RealtimeError('disconnected', 'The client was disconnected.')
    this.registry.each((channel) => channel.giveUp(error))
    if (this.state.kind !== 'closing') return Promise.resolve('ok')
    return new Promise((resolve) => this.#disconnects.push(resolve))
  }

  /** Sends a heartbeat unless one is on its way, or finds out whether the connection still stands. */
  check(type: 'beat' | 'wake'): void {
    this.drive({ type, ref: this.nextRef() })
  }

  /** A channel is in use: the connection is not idle. */
  stayUp(): void {
    this.#emptyTimer(null)
  }

  attach(channel: HostedChannel): void {
    this.stayUp()
    this.registry.add(channel)
  }

  detach(channel: HostedChannel): void {
    if (this.registry.remove(channel) && this.registry.owners.length === 0 && this.#isWanted)
      this.#emptyTimer(this.options.emptyDisconnectMs)
  }

  authorize(channel: HostedChannel, done: (error?: RealtimeError) => void): void {
    this.#joins.enter(channel, done)
  }

  settled(channel: HostedChannel): void {
    this.#joins.leave(channel, this.isUp)
  }

  /** Sends a message as it is, once there is a connection. */
  hold(message: Message): void {
    this.#held.push(message)
    if (this.isUp) this.#flushHeld()
    else if (this.#held.length > MOST_HELD) this.#held.shift()
  }

  write(message: Message): void {
    const { topic, event, payload, ref, joinRef } = message
    if (this.given.logger !== undefined)
      this.log('push', `${topic} ${event} (${joinRef}, ${ref})`, SECRET_EVENTS.includes(event) ? undefined : payload)
    if (!this.isUp) throw new RealtimeError('connection-lost', 'There is no connection.', { retryable: true })
    this.#frames.send(message, (frame) => this.#transport.send(frame))
  }

  tokenChanged(): void {
    this.registry.each((channel) => channel.tokenChanged())
  }

  drive(event: ConnectionEvent): void {
    const before = this.state.kind
    this.#connection.send(event)
    const { state } = this
    const { kind } = state
    if (kind !== before) for (const callback of this.stateListeners) callSafely('state', () => callback(state), this.report)
    if (this.#isWanted !== this.clock.isRunning) this.#startOrStop()
    if (before === 'closing' && kind !== 'closing')
      for (const resolve of this.#disconnects.splice(0)) resolve(event.type === 'timer' ? 'timeout' : 'ok')
  }

  received(data: unknown): void {
    const { state } = this
    if (state.kind === 'connected' && state.attempt > 0) this.drive({ type: 'proven' })
    this.#frames.receive(
      data,
      (message) => this.#deliver(message),
      (cause) => this.log('error', 'a frame could not be decoded', cause),
    )
  }

  #deliver(message: Message): void {
    const { topic, event, payload, ref } = message
    if (this.given.logger !== undefined) this.log('receive', `${topic} ${event} ${ref === null ? '' : `(${ref})`}`, payload)
    if (topic === PHOENIX_TOPIC) this.#onHeartbeatReply(String(ref), payload)
    else this.registry.find(topic)?.receive(message)
  }

  /** Clock and token run while the client is in use. */
  #startOrStop(): void {
    if (this.#isWanted) {
      this.clock.start((what) => (what === 'wake' ? this.check(what) : this.drive({ type: what })))
      this.auth.activate()
    } else {
      this.clock.stop()
      this.auth.deactivate()
    }
  }

  #perform(effect: ConnectionEffect, timer: (afterMs: number | null) => void): void {
    switch (effect.type) {
      case 'timer':
        return timer(effect.afterMs)
      case 'open-socket':
        return void this.#transport.open()
      case 'close-socket':
        return this.#transport.close(effect.code, effect.reason)
      case 'drop-socket':
        return this.#transport.drop(effect.reason)
      case 'send-heartbeat':
        this.#heartbeatSentMs = this.runtime.nowMs()
        this.#tryWrite({ joinRef: null, ref: effect.ref, topic: PHOENIX_TOPIC, event: 'heartbeat', payload: {} })
        this.#heard('sent')
        return this.#prefetchToken()
      case 'heartbeat-missed':
        this.log('transport', 'heartbeat timeout')
        return this.#heard('timeout')
      case 'up':
        this.log('transport', `connected to ${this.endPoint}`)
        this.#flushHeld()
        return this.registry.each((channel) => channel.up())
      case 'down':
        this.log('transport', 'close', effect.loss)
        return this.registry.each((channel) => channel.down(lossError(effect.loss)))
    }
  }

  #flushHeld(): void {
    for (const message of this.#held.splice(0)) this.#tryWrite(message)
  }

  #tryWrite(message: Message): void {
    try {
      this.write(message)
    } catch (error) {
      this.log('error', `"${message.event}" could not be sent`, error)
    }
  }

  #onHeartbeatReply(ref: string, payload: unknown): void {
    const { state } = this
    if (state.kind !== 'connected' || state.heartbeatRef !== ref) return
    this.drive({ type: 'heartbeat-reply', ref })
    this.#heard(isJsonObject(payload) && payload['status'] === 'ok' ? 'ok' : 'error', this.runtime.nowMs() - this.#heartbeatSentMs)
  }

  #heard(...news: Parameters<HeartbeatCallback>): void {
    callSafely('heartbeat', () => this.heartbeatCallback(...news), this.report)
  }

  /** Another part of the application may have refreshed the token; joined channels should not run into the old one's end. */
  #prefetchToken(): void {
    this.auth.need(() => {})
  }
}
