import type { DecisionCode } from '../decision-code.ts'
import {
  wireTopic,
  type ClientFrame,
  type BroadcastGap,
  type JoinRequest,
  type JsonObject,
  type Ref,
  type Version,
} from '@tidewire/protocol'
import { CallWindow } from '../limits/rate-counter.ts'
import { Effects } from '../machine.ts'
import type { Decision, Identity } from '../ports.ts'
import type { TopicKey } from '../ports/topic.ts'
import type { Reads } from '../topic/subscriber.ts'
import type { Subscription, Topic } from '../topic/topic.ts'
import { accessToken } from './access-token.ts'
import { ask, type Question } from './authorization.ts'
import { broadcast } from './broadcast.ts'
import { ChangeSubscription, NO_DATABASE, type ChangeReceiver } from './change-subscription.ts'
import { channelTransition, explained, initialChannel, type ChannelEffect, type ChannelEvent, type ChannelState } from './channel-state.ts'
import { ChannelWriter } from './channel-writer.ts'
import { JoinBuffer } from './join-buffer.ts'
import type { JoinedChannel } from './joined-channel.ts'
import { newPresenceKey, presence, presenceEnds, presenceState } from './presence.ts'
import { loadReplay, replayMessage } from './replay.ts'
import type { ChannelConnection, Services } from './services.ts'
import { TopicMembership } from './topic-membership.ts'
import { WaitingFrames } from './waiting-frames.ts'

/** Characters of a name that a client gave, in the log. */
const MAX_DETAIL = 300

export interface ChannelOptions {
  readonly subTopic: string
  readonly joinRef: Ref
  /** The ref of the join, for its reply. */
  readonly ref: Ref
  readonly request: JoinRequest
  /** The channel that this one replaces; it gets its phx_close when this one has its reply. */
  readonly replaces: Channel | null
  /** The channel is over; frames that still waited are given back. */
  onGone(channel: Channel, waiting: readonly ClientFrame[]): void
  /** A join that came before this one was answered, and the frames after it. */
  onRejoin(channel: Channel, join: ClientFrame, waiting: readonly ClientFrame[]): void
}

/**
 * One channel of one connection: runs the channel's machine, and hands the frames of a joined channel to the file of
 * their event. Frames that come before a decision wait here, in order; other channels of the socket go on.
 */
export class Channel implements JoinedChannel, ChangeReceiver {
  readonly joinRef: Ref
  readonly request: JoinRequest
  readonly connection: ChannelConnection
  readonly services: Services
  readonly #options: ChannelOptions
  #state: ChannelState = initialChannel
  readonly #effects = new Effects<ChannelEffect>()
  readonly #waiting: WaitingFrames
  readonly #membership: TopicMembership
  readonly #writer: ChannelWriter
  readonly #changes: ChangeSubscription
  presentSince: number | null = null
  #presenceKey: string | null
  #presenceCalls: CallWindow | null = null
  /** `null` unless the join waits for stored messages or row changes. */
  #joinBuffer: JoinBuffer | null = null

  constructor(connection: ChannelConnection, services: Services, options: ChannelOptions) {
    this.connection = connection
    this.services = services
    this.joinRef = options.joinRef
    this.request = options.request
    this.#options = options
    this.#waiting = new WaitingFrames(connection.waiting, services.limits.maxFrameBytes)
    this.#presenceKey = options.request.presenceKey
    this.#membership = new TopicMembership(this, services.topics, { name: options.subTopic, private: options.request.private })
    this.#writer = new ChannelWriter(connection, this.#membership, this.joinRef)
    this.#changes = new ChangeSubscription(this, services.changeFeed)
  }

  get version(): Version {
    return this.connection.version
  }

  get joined(): boolean {
    return this.#state.kind === 'joined'
  }

  get closed(): boolean {
    return this.#state.kind === 'closed'
  }

  get key(): TopicKey {
    return this.#membership.key
  }

  get subTopic(): string {
    return this.#membership.key.name
  }

  get subscription(): Subscription | null {
    return this.#membership.subscription
  }

  get mayWrite(): Reads {
    const writes = this.#state.kind === 'joined' ? this.#state.writes : null
    return writes === null || writes === 'asking' ? { broadcast: false, presence: false } : writes
  }

  get presenceKey(): string {
    return (this.#presenceKey ??= newPresenceKey(this.services.runtime))
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
    this.#ask({ type: 'verify', token: this.request.accessToken ?? this.connection.token })
  }

  receive(frame: ClientFrame): void {
    const state = this.#state
    if (state.kind === 'joined' && this.#waiting.size === 0) this.#handle(frame)
    else if (!this.#waiting.push(frame) && this.connection.allowIdleFrame())
      this.refuse(frame.ref, 'too-many-waiting', 'TooManyWaitingPushes: the channel is still being authorized')
  }

  /** A new join took the topic over. */
  replace(): void {
    this.#step({ type: 'replaced' })
  }

  /** Sent after the join that replaced this channel has its reply. */
  sendClose(): void {
    this.#writer.push('phx_close', {}, this.joinRef)
  }

  connectionClosed(): void {
    this.#step({ type: 'connection-closed' })
  }

  stop(code: DecisionCode, message: string): void {
    this.#step({ type: 'stop', code, message })
  }

  deliverChange(event: string, payload: Uint8Array): void {
    const buffer = this.#joinBuffer
    if (buffer === null) this.#membership.topic?.deliverTo(this, event, payload)
    else {
      buffer.hold({ kind: 'change', event, payload })
      if (buffer.isFull) this.#changes.answerNow()
    }
  }

  notifyChanges(status: 'ok' | 'error', message: string, extra?: JsonObject): void {
    if (this.#joinBuffer === null) this.#writer.system(status, 'postgres_changes', message, extra)
    else this.#joinBuffer.hold({ kind: 'system', status, message, extra })
  }

  notifyGap(gap: BroadcastGap): void {
    if (!this.request.gaps || this.#state.kind !== 'joined' || !this.#state.reads.broadcast) return
    this.#writer.system('error', 'broadcast', GAP_MESSAGES[gap], { gap })
  }

  observeChanges(kind: 'changes-refused' | 'changes-withheld', code: DecisionCode, detail: string): void {
    this.#observe(kind, code, detail.slice(0, MAX_DETAIL))
  }

  reply(ref: Ref, status: 'ok' | 'error', response: unknown): void {
    this.#writer.reply(ref, status, response)
  }

  refuseWrite(ref: Ref, text: string): void {
    const writes = this.#state.kind === 'joined' ? this.#state.writes : null
    const { shown, logged } = explained(text, writes === null || writes === 'asking' ? undefined : writes.refusal)
    this.#refuse(ref, { code: 'unauthorized', reason: shown, detail: logged }, { reason: shown })
  }

  refuse(ref: Ref, code: DecisionCode, reason: string, response: unknown = { reason }): void {
    this.#refuse(ref, { code, reason, detail: reason }, response)
  }

  #refuse(
    ref: Ref,
    { code, reason, detail }: { readonly code: DecisionCode; readonly reason: string; readonly detail: string },
    response: unknown,
  ): void {
    this.#observe('push-refused', code, detail)
    if (ref !== null) this.reply(ref, 'error', response)
    else if (this.connection.allowNotice(code)) this.#writer.system('error', 'system', reason)
  }

  #handle(frame: ClientFrame): void {
    switch (frame.event) {
      case 'broadcast':
        if (this.#decided(frame)) broadcast(this, frame)
        return
      case 'presence':
        // One that waits comes here again, and is one call all the same.
        if (!this.#decided(frame)) return
        if (!this.#allowPresenceCall()) return this.stop('too-many-presence-calls', 'Client presence rate limit exceeded')
        return presence(this, frame)
      case 'access_token': {
        const token = accessToken(frame)
        if (token !== null && !this.#isAtHand(token)) this.#renew(token)
        else this.connection.allowIdleFrame()
        return
      }
      case 'phx_leave':
        // A leave of an older join is not for this one (rule J9).
        if (frame.joinRef !== null && frame.joinRef !== this.joinRef) return void this.connection.allowIdleFrame()
        this.reply(frame.ref, 'ok', {})
        return this.#step({ type: 'leave' })
      case 'phx_join':
        return this.#options.onRejoin(this, frame, this.#waiting.takeAll())
      default:
        if (!this.connection.allowEvent()) this.stop('too-many-events', 'Too many messages per second')
    }
  }

  #isAtHand(token: string): boolean {
    return this.#state.kind === 'joined' && token === (this.#state.renewing ?? this.#state.admission.token)
  }

  /** Checking a token, and asking policies about it, is as much work as a join. */
  #renew(token: string): void {
    if (this.connection.allowJoin()) return this.#step({ type: 'new-token', token })
    this.#observe('push-refused', 'too-many-joins', 'Too many tokens per second')
    this.connection.closeForJoins()
  }

  /** Whether it is known what this channel may send; when not, the frame waits for it. */
  #decided(frame: ClientFrame): boolean {
    if (this.#state.kind !== 'joined') return false
    if (this.#state.writes === null) this.#step({ type: 'first-push' })
    if (this.#state.kind === 'joined' && this.#state.writes === 'asking') {
      this.#waiting.putBack(frame)
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
      isClustered: this.services.isClustered,
      waitsForChanges: this.#changes.isAwaited,
      subTopic: this.subTopic,
      showsFailedPolicies: this.services.showsFailedPolicies,
    })
    this.#state = state
    this.#effects.run(effects, (effect) => this.#perform(effect))
    if (state.kind === 'closed') this.#membership.close()
  }

  #perform(effect: ChannelEffect): void {
    switch (effect.type) {
      case 'verify':
      case 'ask-read':
      case 'ask-write':
        return this.#ask(effect)
      case 'attach': {
        const ready = this.#membership.attach()
        if (ready === null) return this.#step({ type: 'attached' })
        void ready.then(() => this.#step({ type: 'attached' }))
        return
      }
      case 'load-replay':
        this.#membership.hold((this.#joinBuffer = new JoinBuffer()))
        void loadReplay(this.services.messageStore, this.subTopic, this.request.replay).then((event) => this.#step(event))
        return
      case 'open-changes':
        this.#joinBuffer ??= new JoinBuffer()
        this.#changes.await(effect.admission.identity, this.services.runtime, (opening) =>
          this.#step(
            opening.ok
              ? { type: 'changes-live' }
              : { type: 'changes-refused', code: opening.code, reason: opening.reason, fault: opening.fault },
          ),
        )
        return
      case 'refuse-join':
        this.#observe('join-refused', effect.code, effect.detail ?? effect.reason)
        this.reply(this.#options.ref, 'error', { reason: effect.reason, ...effect.fault })
        this.#options.replaces?.sendClose()
        return
      case 'enter':
        return this.#enter(effect)
      case 'change-reads':
        return this.#membership.setReads(effect.reads)
      case 'change-identity':
        return this.#changes.setIdentity(effect.identity)
      case 'resume':
        return this.#resume()
      case 'refuse-waiting': {
        for (const frame of this.#waiting.takeAll()) {
          if (frame.event === 'broadcast' || frame.event === 'presence') this.refuse(frame.ref, 'authorization-unavailable', effect.reason)
          else this.receive(frame)
        }
        return
      }
      case 'exit':
        return this.#exit()
      case 'system-error':
        this.#observe('channel-closed', effect.code, effect.detail ?? effect.message)
        return this.#writer.system('error', 'system', effect.message)
      case 'phx-close':
        return this.sendClose()
      case 'forget':
        return this.#options.onGone(this, this.#waiting.takeAll())
    }
  }

  #observe(kind: Decision['kind'], code: DecisionCode, detail: string): void {
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

  #ask(question: Question): void {
    ask(question, this, (answer) => this.#step(answer))
  }

  #enter({ admission, reads, replay }: Extract<ChannelEffect, { type: 'enter' }>): void {
    const { services, request } = this
    const topic = this.#membership.subscribe(reads)
    services.observer.joined(this.connection.id, topic.name, request.private)
    this.reply(this.#options.ref, 'ok', { postgres_changes: this.#changes.echoed })
    this.#options.replaces?.sendClose()
    if (request.presenceEnabled && reads.presence) this.#writer.pushText('presence_state', presenceState(this))
    for (const message of replay) this.#writer.frame(replayMessage(this.version, this.joinRef, topic.name, message))
    if (request.replicationReady) {
      if (services.changeFeed === null) this.#writer.system('error', 'system', NO_DATABASE)
      else this.#writer.system('ok', 'system', 'Replication connection established')
    }
    if (services.isClustered && !this.#membership.isRelayed) this.notifyGap('relay-unconfirmed')
    this.#releaseJoinBuffer(topic, new Set(replay.map(({ id }) => id)))
    this.#changes.joined(admission.identity)
  }

  #releaseJoinBuffer(topic: Topic, replayed: ReadonlySet<string>): void {
    const buffer = this.#joinBuffer
    if (buffer === null) return
    this.#joinBuffer = null
    topic.replayed(this, replayed, this.services.runtime.uptime())
    for (const held of buffer.takeAll(replayed)) {
      if (held.kind === 'stored') this.#writer.frame(topic.frameFor(this, held.message))
      else if (held.kind === 'change') this.deliverChange(held.event, held.payload)
      else this.notifyChanges(held.status, held.message, held.extra)
    }
  }

  #exit(): void {
    this.#changes.close()
    const topic = this.#membership.unsubscribe()
    if (topic === null) return
    presenceEnds(this)
    this.#membership.close()
    this.services.observer.left(this.connection.id, topic.name, this.request.private)
  }

  #resume(): void {
    while (this.#waiting.size > 0 && this.#state.kind === 'joined' && this.#state.writes !== 'asking') this.#handle(this.#waiting.take()!)
  }
}

const GAP_MESSAGES: Record<BroadcastGap, string> = {
  'relay-lost': 'Broadcasts from other nodes may have been missed',
  'relay-unconfirmed': 'Broadcasts from other nodes may not come yet: the way to them is not confirmed',
}
