import type { DecisionCode } from '../decision-code.ts'
import { Machine, type BroadcastGap, type ClientFrame, type JoinRequest, type Ref, type Version } from '@tidewire/protocol'
import type { Identity } from '../ports.ts'
import type { TopicKey } from '../ports/topic.ts'
import type { Reads } from '../topic/subscriber.ts'
import type { Subscription } from '../topic/encoding-group.ts'
import { ask, type Question } from './authorization.ts'
import { ChangeSubscription } from './change-subscription.ts'
import {
  channelTransition,
  initialChannel,
  type ChannelEffect,
  type ChannelEvent,
  type ChannelState,
  type ChannelTransition,
  type Writes,
} from './channel-state.ts'
import { ChannelWriter } from './channel-writer.ts'
import { acceptJoin } from './join-reply.ts'
import { ChannelPresence } from './channel-presence.ts'
import { handOver, type ReceivingChannel } from './events/hand-over.ts'
import { presenceEnds } from './events/presence.ts'
import { refuse, report } from './refusals.ts'
import { loadReplay } from './replay.ts'
import type { ChannelConnection, Services } from './services.ts'
import { TopicMembership } from './topic-membership.ts'
import { WaitingFrames } from './waiting-frames.ts'

export interface ChannelOptions {
  readonly subTopic: string
  readonly joinRef: Ref
  /** The ref of the join, for its reply. */
  readonly ref: Ref
  readonly request: JoinRequest
  /** The join is large: each step of it takes a turn of the event loop of its own. */
  readonly isLarge: boolean
  /** The channel that this one replaces; it gets its phx_close when this one has its reply. */
  readonly replaces: Channel | null
  /** The channel has ended. `waiting`: frames that still waited, for the channel that replaces it. */
  onGone(channel: Channel, waiting: readonly ClientFrame[]): void
  /** A client joined again before this join was answered. `waiting`: the frames after that join. */
  onRejoin(channel: Channel, join: ClientFrame, waiting: readonly ClientFrame[]): void
}

/**
 * One channel of one connection: runs the channel's machine, and hands the frames of a joined channel to the file of
 * their event. Frames that come before a decision wait here, in order; other channels of the socket go on.
 */
export class Channel implements ReceivingChannel {
  readonly joinRef: Ref
  readonly request: JoinRequest
  readonly connection: ChannelConnection
  readonly services: Services
  readonly #options: ChannelOptions
  static readonly #performOn = (effect: ChannelEffect, channel: Channel): void => channel.#perform(effect)
  static readonly #transitionOf = (state: ChannelState, event: ChannelEvent, channel: Channel): ChannelTransition =>
    channelTransition(state, event, {
      private: channel.request.private,
      presenceEnabled: channel.request.presenceEnabled,
      wantsReplay: channel.request.replay !== null,
      isClustered: channel.services.isClustered,
      waitsForChanges: channel.#changes.isAwaited,
      subTopic: channel.subTopic,
      showsFailedPolicies: channel.services.showsFailedPolicies,
    })
  readonly #machine = new Machine<ChannelState, ChannelEvent, ChannelEffect, Channel>(
    initialChannel,
    Channel.#transitionOf,
    Channel.#performOn,
    this,
  )
  readonly #waiting: WaitingFrames
  readonly #membership: TopicMembership
  readonly writer: ChannelWriter
  readonly #changes: ChangeSubscription
  #presence: ChannelPresence | null = null

  constructor(connection: ChannelConnection, services: Services, options: ChannelOptions) {
    this.connection = connection
    this.services = services
    this.joinRef = options.joinRef
    this.request = options.request
    this.#options = options
    this.#waiting = new WaitingFrames(connection.waiting, services.limits.maxFrameBytes)
    this.#membership = new TopicMembership(this, services.topics, { name: options.subTopic, private: options.request.private })
    this.writer = new ChannelWriter(connection, this.#membership, this.joinRef)
    this.#changes = new ChangeSubscription(this)
  }

  get version(): Version {
    return this.connection.version
  }

  get joined(): boolean {
    return this.#machine.state.kind === 'joined'
  }

  get closed(): boolean {
    return this.#machine.state.kind === 'closed'
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

  get mayWrite(): Exclude<Writes, 'asking' | null> {
    const writes = this.#machine.state.kind === 'joined' ? this.#machine.state.writes : null
    return writes === null || writes === 'asking' ? NOTHING : writes
  }

  get presence(): ChannelPresence {
    return (this.#presence ??= new ChannelPresence(this.request, this.services.runtime))
  }

  /** Unix milliseconds until which the channel's token is good; `Infinity` unless joined. */
  get expiresAtMs(): number {
    return this.#machine.state.kind === 'joined' ? this.#machine.state.admission.expiresAtMs : Infinity
  }

  /** The identity that policies see; `null` until its token is checked, and after the close. */
  get identity(): Identity | null {
    return 'admission' in this.#machine.state ? this.#machine.state.admission.identity : null
  }

  get token(): string | null {
    return this.#machine.state.kind === 'joined' ? (this.#machine.state.renewing ?? this.#machine.state.admission.token) : null
  }

  write(frames: Buffer, messages: number): void {
    this.connection.output.write(frames, messages)
  }

  get isLarge(): boolean {
    return this.#options.isLarge
  }

  /** Reads the entries of row changes of a large join. `joinInSteps` gives it a turn of its own. */
  readChanges(): void {
    this.#changes.read()
  }

  join(): void {
    this.#ask({ type: 'verify', token: this.request.accessToken ?? this.connection.token })
  }

  receive(frame: ClientFrame): void {
    const state = this.#machine.state
    if (state.kind === 'joined' && this.#waiting.size === 0) handOver(frame, this)
    else if (!this.#waiting.push(frame) && this.connection.allowIdleFrame())
      refuse(this, frame.ref, 'too-many-waiting', 'TooManyWaitingPushes: the channel is still being authorized')
  }

  replace(): void {
    this.#step({ type: 'replaced' })
  }

  /** Sends `phx_close`: at the end of the channel, or after the reply of the join that replaced it. */
  sendClose(): void {
    this.writer.push('phx_close', {}, this.joinRef)
  }

  connectionClosed(): void {
    this.#step({ type: 'connection-closed' })
  }

  renew(token: string): void {
    this.#step({ type: 'new-token', token })
  }

  leave(): void {
    this.#step({ type: 'leave' })
  }

  rejoin(frame: ClientFrame): void {
    this.#options.onRejoin(this, frame, this.#waiting.takeAll())
  }

  stop(code: DecisionCode, message: string): void {
    this.#step({ type: 'stop', code, message })
  }

  notifyGap(gap: BroadcastGap): void {
    if (!this.request.gaps || this.#machine.state.kind !== 'joined' || !this.#machine.state.reads.broadcast) return
    this.writer.gap(gap)
  }

  decided(frame: ClientFrame): boolean {
    if (this.#machine.state.kind !== 'joined') return false
    if (this.#machine.state.writes === null) this.#step({ type: 'first-push' })
    if (this.#machine.state.kind === 'joined' && this.#machine.state.writes === 'asking') {
      this.#waiting.putBack(frame)
      return false
    }
    return true
  }

  #step(event: ChannelEvent): void {
    this.#machine.send(event)
    if (this.#machine.state.kind === 'closed') this.#membership.close()
  }

  #perform(effect: ChannelEffect): void {
    switch (effect.type) {
      case 'verify':
      case 'ask-read':
      case 'ask-write':
        return this.#ask(effect)
      case 'join-at':
        return this.#membership.joinAt(effect.position)
      case 'attach': {
        const ready = this.#membership.attach()
        if (ready === null) return this.#step({ type: 'attached' })
        void ready.then(() => this.#step({ type: 'attached' }))
        return
      }
      case 'load-replay':
        this.#membership.hold(this.writer.hold())
        void loadReplay(this.services.messageStore, this.subTopic, this.request.replay).then((event) => this.#step(event))
        return
      case 'open-changes':
        this.writer.hold()
        this.#changes.await(effect.admission.identity, (event) => this.#step(event))
        return
      case 'refuse-join':
        report(this, 'join-refused', effect.code, effect.detail ?? effect.reason)
        this.writer.reply(this.#options.ref, 'error', { reason: effect.reason, ...effect.fault })
        this.#options.replaces?.sendClose()
        return
      case 'enter':
        return this.#enter(effect)
      case 'change-reads':
        return this.#membership.setReads(effect.reads)
      case 'change-identity':
        return this.#changes.setIdentity(effect.identity)
      case 'resume':
        while (this.#waiting.size > 0 && this.#machine.state.kind === 'joined' && this.#machine.state.writes !== 'asking')
          handOver(this.#waiting.take()!, this)
        return
      case 'refuse-waiting':
        for (const frame of this.#waiting.takeAll()) {
          if (frame.event === 'broadcast' || frame.event === 'presence') refuse(this, frame.ref, 'authorization-unavailable', effect.reason)
          else this.receive(frame)
        }
        return
      case 'exit':
        return this.#exit()
      case 'system-error':
        report(this, 'channel-closed', effect.code, effect.detail ?? effect.message)
        return this.writer.system('error', 'system', effect.message)
      case 'phx-close':
        return this.sendClose()
      case 'forget':
        return this.#options.onGone(this, this.#waiting.takeAll())
    }
  }

  #ask(question: Question): void {
    ask(question, this, (answer) => this.#step(answer))
  }

  #enter({ admission, reads, replay }: Extract<ChannelEffect, { type: 'enter' }>): void {
    const topic = this.#membership.subscribe(reads)
    acceptJoin(this, topic, {
      ref: this.#options.ref,
      replaces: this.#options.replaces,
      reads,
      replay,
      changes: this.#changes.echoed,
      isRelayed: !this.services.isClustered || this.#membership.isRelayed,
    })
    this.#changes.joined(admission.identity)
  }

  #exit(): void {
    this.#changes.close()
    const topic = this.#membership.unsubscribe()
    if (topic === null) return
    presenceEnds(this)
    this.#membership.close()
    this.services.observer.left(this.connection.id, topic.name, this.request.private)
  }
}

const NOTHING: Reads = { broadcast: false, presence: false }
