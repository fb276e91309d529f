import {
  encodeTextMessage,
  wireTopic,
  type ClientFrame,
  type JoinRequest,
  type JsonObject,
  type Ref,
  type SystemPayload,
  type Version,
} from '@tidewire/protocol'
import { CallWindow } from '../limits/rate-counter.ts'
import type { Decision, Identity, StoredMessage } from '../ports.ts'
import type { CatchUp } from '../topic/catch-up.ts'
import { textFrame } from '../topic/websocket-frame.ts'
import type { Reads } from '../topic/subscriber.ts'
import type { Seat, Topic } from '../topic/topic.ts'
import { accessToken } from './access-token.ts'
import { broadcast } from './broadcast.ts'
import { ChangeSubscription, NO_DATABASE, type ChangeReceiver } from './change-subscription.ts'
import { channelTransition, initialChannel, type ChannelEffect, type ChannelEvent, type ChannelState } from './channel-state.ts'
import type { Membership } from './membership.ts'
import { presence, presenceEnds, presenceState } from './presence.ts'
import { loadReplay, replayMessage } from './replay.ts'
import type { ChannelConnection, Services } from './services.ts'

export interface ChannelOptions {
  readonly subTopic: string
  readonly joinRef: Ref
  /** The ref of the join, for its reply. */
  readonly ref: Ref
  readonly request: JoinRequest
  /** The channel that this one replaces; it is told when this one has its reply. */
  readonly replaces: Channel | null
  /** The channel is over; frames that still waited are given back. */
  onGone(channel: Channel, waiting: readonly ClientFrame[]): void
}

/** A channel may keep this many frames waiting for its join or for a decision; more are refused. */
const MAX_WAITING = 1_000

/**
 * One membership: runs the channel's machine, and hands the frames of a joined channel to the file of their event.
 * Frames that come before a decision wait here, in order; other channels of the socket go on.
 */
export class Channel implements Membership, ChangeReceiver {
  readonly subTopic: string
  readonly joinRef: Ref
  readonly request: JoinRequest
  readonly connection: ChannelConnection
  readonly services: Services
  readonly #options: ChannelOptions
  #state: ChannelState = initialChannel
  #waiting: ClientFrame[] = []
  #seat: Seat | null = null
  #topic: Topic | null = null
  readonly #changes: ChangeSubscription
  #catchUp: CatchUp | null = null
  presentSince: number | null = null
  #presenceKey: string | null
  #presenceCalls: CallWindow | null = null

  constructor(connection: ChannelConnection, services: Services, options: ChannelOptions) {
    this.connection = connection
    this.services = services
    this.subTopic = options.subTopic
    this.joinRef = options.joinRef
    this.request = options.request
    this.#options = options
    this.#presenceKey = options.request.presenceKey
    this.#changes = new ChangeSubscription(this, services.changeFeed)
  }

  get version(): Version {
    return this.connection.version
  }

  get joined(): boolean {
    return this.#state.kind === 'joined'
  }

  get topic(): Topic {
    if (this.#topic === null) throw new Error('a channel has no topic before it joined')
    return this.#topic
  }

  get mayWrite(): Reads {
    const writes = this.#state.kind === 'joined' ? this.#state.writes : null
    return writes === null || writes === 'asking' ? { broadcast: false, presence: false } : writes
  }

  get presenceKey(): string {
    return (this.#presenceKey ??= uuid(this.services.runtime.randomBytes(16)))
  }

  /** Unix milliseconds until which the channel's token is good. */
  get expiresAtMs(): number {
    return this.#state.kind === 'joined' ? this.#state.admission.expiresAtMs : Infinity
  }

  /** Who the channel acts for; `null` until its token is checked. */
  get identity(): Identity | null {
    return 'admission' in this.#state ? this.#state.admission.identity : null
  }

  write(frames: Buffer, messages: number): void {
    this.connection.write(frames, messages)
  }

  /** Starts the join. */
  join(): void {
    this.#verify(this.request.accessToken ?? this.connection.token)
  }

  receive(frame: ClientFrame): void {
    const state = this.#state
    if (state.kind === 'joined' && this.#waiting.length === 0) this.#handle(frame)
    else if (this.#waiting.length < MAX_WAITING) this.#waiting.push(frame)
    else this.refuse(frame.ref, 'too-many-waiting', 'TooManyWaitingPushes: the channel is still being authorized')
  }

  /** A new join took the topic over. */
  replace(): void {
    this.#step({ type: 'replaced' })
  }

  /** Told after the join that replaced this channel has its reply. */
  tellClosed(): void {
    this.#push('phx_close', {}, this.joinRef)
  }

  connectionClosed(): void {
    this.#step({ type: 'connection-closed' })
  }

  stop(code: string, message: string): void {
    this.#step({ type: 'stop', code, message })
  }

  deliverChange(event: string, payload: Uint8Array): void {
    this.#topic?.deliverTo(this, event, payload)
  }

  tellChanges(status: 'ok' | 'error', message: string, extra?: JsonObject): void {
    this.#system(status, 'postgres_changes', message, extra)
  }

  reply(ref: Ref, status: 'ok' | 'error', response: unknown): void {
    if (ref === undefined) return
    const message = { joinRef: this.joinRef, ref, topic: wireTopic(this.subTopic), event: 'phx_reply', payload: { status, response } }
    const write = (): void => this.connection.write(textFrame(encodeTextMessage(this.version, message)), 1)
    if (this.#topic === null) write()
    else this.#topic.inOrder(write)
  }

  refuse(ref: Ref, code: string, reason: string, response: unknown = { reason }): void {
    this.#observe('push-refused', code, reason)
    if (ref === null) this.#system('error', 'system', reason)
    else this.reply(ref, 'error', response)
  }

  #handle(frame: ClientFrame): void {
    switch (frame.event) {
      case 'broadcast':
        if (this.#decided(frame)) broadcast(this, frame)
        return
      case 'presence':
        if (!this.#allowPresenceCall()) return this.stop('too-many-presence-calls', 'Client presence rate limit exceeded')
        if (this.#decided(frame)) presence(this, frame)
        return
      case 'access_token': {
        const token = accessToken(frame)
        if (token !== null) this.#step({ type: 'new-token', token })
        return
      }
      case 'phx_leave':
        // A leave of an older join is not for this one (rule J9).
        if (frame.joinRef !== null && frame.joinRef !== this.joinRef) return
        this.reply(frame.ref, 'ok', {})
        return this.#step({ type: 'leave' })
      default:
        if (!this.connection.allowEvent()) this.stop('too-many-events', 'Too many messages per second')
    }
  }

  /** Whether it is known what this channel may send; when not, the frame waits for it. */
  #decided(frame: ClientFrame): boolean {
    if (this.#state.kind !== 'joined') return false
    if (this.#state.writes === null) this.#step({ type: 'first-push' })
    if (this.#state.kind === 'joined' && this.#state.writes === 'asking') {
      this.#waiting.unshift(frame)
      return false
    }
    return true
  }

  #allowPresenceCall(): boolean {
    const { maxPresenceCallsPerWindow, presenceWindowMs } = this.services.limits
    this.#presenceCalls ??= new CallWindow()
    return this.#presenceCalls.allows(this.services.runtime.uptime(), maxPresenceCallsPerWindow, presenceWindowMs)
  }

  #step(event: ChannelEvent): void {
    const { state, effects } = channelTransition(this.#state, event, {
      private: this.request.private,
      presenceEnabled: this.request.presenceEnabled,
      wantsReplay: this.request.replay !== null,
      waitsForChanges: this.#changes.isAwaited,
      subTopic: this.subTopic,
    })
    this.#state = state
    for (const effect of effects) this.#run(effect)
    if (state.kind === 'closed' && this.#catchUp !== null) this.#endCatchUp(this.#catchUp)
  }

  #run(effect: ChannelEffect): void {
    switch (effect.type) {
      case 'verify':
        return this.#verify(effect.token)
      case 'ask-read': {
        const { admission } = effect
        const asked = this.services.authorizer.read({ subTopic: this.subTopic, identity: admission.identity })
        void asked.then((authorization) => this.#step({ type: 'read-decided', admission, authorization }))
        return
      }
      case 'ask-write': {
        const { admission } = effect
        const asked = this.services.authorizer.write({ subTopic: this.subTopic, identity: admission.identity })
        void asked.then((authorization) => this.#step({ type: 'write-decided', admission, authorization }))
        return
      }
      case 'load-replay':
        this.#catchUp = this.services.topics.open(this.subTopic, this.request.private).beginCatchUp(this)
        void loadReplay(this.services.messageStore, this.subTopic, this.request.replay).then((event) => this.#step(event))
        return
      case 'open-changes':
        this.#changes.await(effect.admission.identity, this.services.runtime, (opening) =>
          this.#step(opening.ok ? { type: 'changes-live' } : { type: 'changes-refused', code: opening.code, reason: opening.reason }),
        )
        return
      case 'refuse-join':
        this.#observe('join-refused', effect.code, effect.reason)
        this.reply(this.#options.ref, 'error', { reason: effect.reason })
        this.#options.replaces?.tellClosed()
        return
      case 'enter':
        return this.#enter(effect)
      case 'change-reads':
        if (this.#seat !== null) this.#seat = this.topic.setReads(this.#seat, effect.reads)
        return
      case 'change-identity':
        return this.#changes.setIdentity(effect.identity)
      case 'resume':
        return this.#resume()
      case 'refuse-waiting': {
        const waiting = this.#waiting
        this.#waiting = []
        for (const frame of waiting) {
          if (frame.event === 'broadcast' || frame.event === 'presence') this.refuse(frame.ref, 'authorization-unavailable', effect.reason)
          else this.receive(frame)
        }
        return
      }
      case 'exit':
        return this.#exit()
      case 'system-error':
        this.#observe('channel-closed', effect.code, effect.message)
        return this.#system('error', 'system', effect.message)
      case 'phx-close':
        return this.tellClosed()
      case 'forget': {
        const waiting = this.#waiting
        this.#waiting = []
        return this.#options.onGone(this, waiting)
      }
    }
  }

  #observe(kind: Decision['kind'], code: string, detail: string): void {
    const { connection, subTopic, request } = this
    this.services.observer.decision({
      kind,
      code,
      detail,
      connection: connection.id,
      topic: wireTopic(subTopic),
      private: request.private,
    })
  }

  #verify(token: string): void {
    void this.services.admit(token, this.connection.headers).then((result) => {
      if (result.ok) this.#step({ type: 'admitted', admission: result.admission })
      else this.#step({ type: 'token-refused', token, code: result.code, joinReason: result.joinReason, message: result.message })
    })
  }

  #enter({ admission, reads, replay }: Extract<ChannelEffect, { type: 'enter' }>): void {
    const { services, request } = this
    this.#topic = services.topics.open(this.subTopic, request.private)
    this.#seat = this.#topic.subscribe(this, reads)
    services.observer.joined(this.connection.id, this.#topic.name, request.private)
    this.reply(this.#options.ref, 'ok', { postgres_changes: this.#changes.echoed })
    this.#options.replaces?.tellClosed()
    if (request.presenceEnabled && reads.presence) this.#push('presence_state', presenceState(this))
    this.#replay(this.#topic, replay)
    if (request.replicationReady) {
      if (services.changeFeed === null) this.#system('error', 'system', NO_DATABASE)
      else this.#system('ok', 'system', 'Replication connection established')
    }
    this.#changes.joined(admission.identity)
  }

  #replay(topic: Topic, stored: readonly StoredMessage[]): void {
    for (const message of stored) this.#writeFrame(replayMessage(this.version, this.joinRef, topic.name, message))
    const missed = this.#catchUp?.caughtUp(new Set(stored.map(({ id }) => id)), this.services.runtime.uptime()) ?? []
    for (const message of missed) this.#writeFrame(topic.frameFor(this, message))
  }

  /** Writes a frame, if the version of this socket has one for the message. */
  #writeFrame(frame: Buffer | null): void {
    if (frame !== null) this.connection.write(frame, 1)
  }

  #exit(): void {
    this.#changes.close()
    if (this.#seat === null || this.#topic === null) return
    this.#topic.unsubscribe(this.#seat)
    this.#seat = null
    presenceEnds(this)
    this.services.topics.closeIfEmpty(this.subTopic, this.request.private)
    this.services.observer.left(this.connection.id, this.#topic.name, this.request.private)
  }

  #endCatchUp(catchUp: CatchUp): void {
    this.#catchUp = null
    this.services.topics.find(this.subTopic, this.request.private)?.endCatchUp(catchUp)
    this.services.topics.closeIfEmpty(this.subTopic, this.request.private)
  }

  #resume(): void {
    while (this.#waiting.length > 0 && this.#state.kind === 'joined' && this.#state.writes !== 'asking')
      this.#handle(this.#waiting.shift()!)
  }

  #system(status: 'ok' | 'error', extension: SystemPayload['extension'], message: string, extra: JsonObject = {}): void {
    this.#push('system', { message, status, extension, channel: this.subTopic, ...extra })
  }

  #push(event: string, payload: unknown, ref: Ref = null): void {
    this.#topic?.flush()
    const message = { joinRef: this.joinRef, ref, topic: wireTopic(this.subTopic), event, payload }
    this.connection.write(textFrame(encodeTextMessage(this.version, message)), 1)
  }
}

/** A random UUID (version 4) out of 16 random bytes. */
function uuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes)
  hex[6] = (hex[6]! & 0x0f) | 0x40
  hex[8] = (hex[8]! & 0x3f) | 0x80
  return hex.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
