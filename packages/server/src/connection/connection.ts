import {
  ADMIN_TOPIC,
  CloseCode,
  decodeClientFrame,
  encodeTextMessage,
  PHOENIX_TOPIC,
  subTopicOf,
  type AdminConnection,
  type ClientFrame,
  type FrameBounds,
  type JoinBounds,
  type Ref,
  type Version,
} from '@tidewire/protocol'
import { Channel } from '../channel/channel.ts'
import type { ChannelConnection, Services } from '../channel/services.ts'
import type { WaitingBytes } from '../channel/waiting-frames.ts'
import { Notices } from '../limits/notices.ts'
import { RateCounter } from '../limits/rate-counter.ts'
import type { UnfinishedFault } from '../limits/unfinished-messages.ts'
import { Effects } from '../machine.ts'
import type { Claims } from '../ports.ts'
import { textFrame } from '../topic/websocket-frame.ts'
import type { AdminEndpoint, AdminPeer } from './admin-endpoint.ts'
import { Backlog, type BacklogLimits } from './backlog.ts'
import {
  connectionTransition,
  initialConnection,
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionOptions,
  type ConnectionState,
} from './connection-state.ts'
import { checkJoin, type JoinRefusal } from './join-check.ts'
import type { ConnectionDetails, Transport } from './transport.ts'

/** The server's sockets, as each of them needs to know. */
export interface ConnectionHost {
  /** Whether a first channel of one more socket is within the limit of users. */
  mayJoin(): boolean
  channelsChanged(connection: Connection): void
  closed(connection: Connection): void
  /** True while the server shuts down. */
  readonly draining: boolean
  /** `null`: the inspector is off. */
  readonly admin: AdminEndpoint | null
}

export interface ConnectionLimits extends ConnectionOptions {
  readonly backlog: BacklogLimits
  readonly frame: FrameBounds
  readonly join: JoinBounds
  readonly privateOnly: boolean
}

/** One socket: reads envelopes, finds the channel, keeps the limits of a socket. What a channel does is not known here. */
export class Connection implements ChannelConnection, AdminPeer {
  readonly id: string
  readonly version: Version
  readonly token: string
  readonly headers: Readonly<Record<string, string>>
  readonly claims: Claims
  readonly foreignOrigin: boolean
  readonly #userAgent: string | null
  readonly waiting: WaitingBytes = { bytes: 0 }
  readonly #connectedAt: number
  #lastHeartbeatAt: number | null = null
  #framesReceived = 0
  #messagesSent = 0
  readonly #transport: Transport
  readonly #services: Services
  readonly #host: ConnectionHost
  readonly #limits: ConnectionLimits
  readonly #maxBacklogBytes: number
  readonly #channels = new Map<string, Channel>()
  #events: RateCounter | null = null
  #presenceEvents: RateCounter | null = null
  #joins: RateCounter | null = null
  /** Frames that are for no channel, or do nothing there. */
  #idleFrames: RateCounter | null = null
  /** Frames that came after the end. */
  #lateFrames = 0
  #state: ConnectionState = initialConnection
  readonly #effects = new Effects<ConnectionEffect>()
  /** Until the closing handshake starts, so that leaving a topic still writes what is pending there. */
  #isWritable = true
  #heard = true
  #bytesWritten = 0
  /** Bytes that the other side had taken at the last sweep. */
  #takenBefore = 0
  /** `null`: no more waits than may. */
  #backlog: Backlog | null = null
  readonly #notices = new Notices()
  /** Its backlog is over the bound: nothing more is written, and it is closed at the end of the turn. */
  #overflowing = false

  constructor(details: ConnectionDetails, transport: Transport, services: Services, host: ConnectionHost, limits: ConnectionLimits) {
    this.id = details.id
    this.version = details.version
    this.token = details.token
    this.headers = details.headers
    this.claims = details.claims ?? NO_CLAIMS
    this.foreignOrigin = details.foreignOrigin ?? false
    this.#userAgent = details.userAgent ?? null
    this.#connectedAt = services.runtime.now()
    this.#transport = transport
    this.#services = services
    this.#host = host
    this.#limits = limits
    this.#maxBacklogBytes = limits.backlog.maxBytes
  }

  get channelCount(): number {
    return this.#channels.size
  }

  get backlogBytes(): number {
    return this.#transport.backlogBytes()
  }

  /** Its memberships, joined or about to be. */
  get channels(): Iterable<Channel> {
    return this.#channels.values()
  }

  /** As an inspector is shown it. */
  inspect(): AdminConnection {
    return {
      id: this.id,
      role: textOf(this.claims['role']),
      claims: this.claims,
      address: this.#transport.address?.() ?? null,
      userAgent: this.#userAgent,
      vsn: this.version,
      connectedAt: this.#connectedAt,
      lastHeartbeatAt: this.#lastHeartbeatAt,
      channels: [...this.#channels.values()].map(({ subTopic, request, identity }) => ({
        topic: subTopic,
        private: request.private,
        role: identity?.role ?? null,
        sub: textOf(identity?.claims['sub']),
      })),
      received: this.#framesReceived,
      sent: this.#messagesSent,
      queueBytes: this.#transport.backlogBytes(),
    }
  }

  /** Whether nothing has ended it yet. */
  get isOpen(): boolean {
    return this.#state.kind === 'open'
  }

  /** Whether it acts for this user, by the token that it connected with or by that of one of its channels. */
  actsFor(sub: string): boolean {
    return this.claims['sub'] === sub || [...this.#channels.values()].some(({ identity }) => identity?.claims['sub'] === sub)
  }

  /** A frame from the client. A text frame comes as bytes too. */
  receive(data: Uint8Array, binary: boolean): void {
    if (this.#state.kind !== 'open') return this.#receiveLate()
    this.#heard = true
    this.#framesReceived++
    const { observer, fanOutTimes } = this.#services
    observer.received(data.length)
    fanOutTimes.frameBegins()
    const frame = decodeClientFrame(this.version, data, binary, this.#limits.frame)
    if (frame.ok) this.#dispatch(frame.value)
    else this.#refuseFrame(frame)
    fanOutTimes.frameEnds()
  }

  /** A client that goes on sending after it was closed is not waited for: to read its frames costs all others. */
  #receiveLate(): void {
    if (++this.#lateFrames === MAX_LATE_FRAMES) this.#transport.terminate()
  }

  write(frames: Buffer, messages: number): void {
    if (!this.#isWritable || this.#overflowing) return
    this.#messagesSent += messages
    this.#bytesWritten += frames.length
    this.#transport.write(frames)
    // Apart from the rest, so that this is small enough to be inlined where a topic goes through its subscribers.
    if (this.#backlog !== null || this.#transport.backlogBytes() > this.#maxBacklogBytes) this.#watchBacklog()
  }

  #watchBacklog(): void {
    if (this.#keepsUp()) return
    this.#overflowing = true
    // Not here: a topic is going through its subscribers, and leaving now would have it skip one, or tell some of them
    // what this brings about before what it was about to say.
    this.#services.runtime.endOfTurn(() => this.#step({ type: 'overflow' }))
  }

  allowEvent(): boolean {
    const now = this.#services.runtime.uptime()
    this.#events ??= new RateCounter(this.#services.limits.maxEventsPerSecond, now)
    return !this.#events.add(now)
  }

  allowIdleFrame(): boolean {
    if (this.#state.kind !== 'open') return false
    const now = this.#services.runtime.uptime()
    this.#idleFrames ??= new RateCounter(Math.max(MIN_IDLE_FRAMES_PER_SECOND, this.#services.limits.maxEventsPerSecond), now)
    if (!this.#idleFrames.add(now)) return true
    const message = 'TooManyFrames: Too many frames per second that are for no channel'
    this.#services.observer.decision({ kind: 'frame-refused', code: 'too-many-idle-frames', detail: message, connection: this.id })
    this.#send({
      joinRef: null,
      ref: null,
      topic: PHOENIX_TOPIC,
      event: 'system',
      payload: { message, status: 'error', extension: 'system' },
    })
    this.close(CloseCode.policyViolation, 'Too many frames per second')
    return false
  }

  allowJoin(): boolean {
    const now = this.#services.runtime.uptime()
    this.#joins ??= new RateCounter(this.#services.limits.maxJoinsPerSecond, now)
    return !this.#joins.add(now)
  }

  closeForJoins(): void {
    this.close(CloseCode.goingAway, 'Too many joins per second')
  }

  allowNotice(kind: string): boolean {
    return this.#notices.allows(kind, this.#services.runtime.uptime())
  }

  allowPresenceEvent(): boolean {
    const now = this.#services.runtime.uptime()
    this.#presenceEvents ??= new RateCounter(this.#services.limits.maxPresenceEventsPerSecond, now)
    return !this.#presenceEvents.add(now)
  }

  /** Looks after silence, congestion and expired tokens; called at a fixed interval. */
  sweep(): void {
    const taken = this.#takenBytes()
    // A backlog that grows may move all the same: a receiver that takes less than it is sent is not stalled.
    const moved = this.#transport.backlogBytes() === 0 || taken > this.#takenBefore
    if (this.#state.kind === 'open' && !this.#keepsUp()) this.#step({ type: 'overflow' })
    this.#step({ type: 'sweep', heard: this.#heard, moved })
    this.#heard = false
    this.#takenBefore = taken
    const now = this.#services.runtime.now()
    for (const channel of this.#channels.values()) {
      const late = now - channel.expiresAtMs
      if (late >= 0) channel.stop('token-expired', `Token has expired ${Math.floor(late / 1000)} seconds ago`)
    }
  }

  close(code: number, reason: string): void {
    this.#step({ type: 'close', code, reason })
  }

  /** A message took too long to end, or was one too many that had not: the socket is closed, and what had come of it given back. */
  refuseUnfinished(fault: UnfinishedFault): void {
    const detail = fault === 'frame-timeout' ? 'A message took too long to end' : 'Too much of unfinished messages is waiting'
    this.#services.observer.decision({ kind: 'frame-refused', code: fault, detail, connection: this.id })
    this.#step({ type: 'abort', code: CloseCode.policyViolation, reason: detail })
  }

  /** The socket is gone, with the close code that was seen. */
  transportClosed(code: number): void {
    this.#isWritable = false
    this.#step({ type: 'transport-closed' })
    this.#host.closed(this)
    this.#services.observer.disconnected(this.id, code)
  }

  #dispatch(frame: ClientFrame): void {
    const { topic, event } = frame
    const channel = this.#channels.get(topic)
    if (channel !== undefined && (event !== 'phx_join' || !channel.joined)) return channel.receive(frame)
    const isForAdmin = topic === ADMIN_TOPIC && this.#host.admin !== null
    if (event === 'phx_join' && !isForAdmin && subTopicOf(topic) !== null) return this.#join(frame, channel ?? null)
    if (!this.allowIdleFrame()) return
    if (isForAdmin) return this.#host.admin?.receive(frame, this)
    if (topic === PHOENIX_TOPIC && event === 'heartbeat') {
      this.#lastHeartbeatAt = this.#services.runtime.now()
      return this.#reply(null, frame.ref, topic, 'ok', {})
    }
    if (event === 'phx_leave') return this.#reply(frame.joinRef, frame.ref, topic, 'ok', {})
    this.#reply(null, frame.ref, topic, 'error', { reason: 'unmatched topic' })
  }

  #join(frame: ClientFrame, replaces: Channel | null): void {
    const { topic, ref, joinRef } = frame
    const subTopic = subTopicOf(topic) ?? ''
    const join = checkJoin(subTopic, frame.payload.kind === 'json' ? frame.payload.value : null, {
      draining: this.#host.draining,
      privateOnly: this.#limits.privateOnly,
      bounds: this.#limits.join,
      channels: this.#channels.size,
      maxChannels: this.#services.limits.maxChannelsPerConnection,
      replaces: replaces !== null,
      allowJoin: () => this.allowJoin(),
      allowUser: () => this.#host.mayJoin(),
    })
    if (!join.ok) {
      this.#refuseJoin(frame, join)
      if (join.code === 'too-many-joins') this.closeForJoins()
      return
    }
    const channel = new Channel(this, this.#services, {
      subTopic,
      joinRef,
      ref,
      request: join.request,
      replaces,
      onGone: (gone, waiting) => this.#forget(topic, gone, waiting),
      onRejoin: (joined, again, waiting) => {
        this.#join(again, joined)
        this.#dispatchAll(waiting)
      },
    })
    this.#channels.set(topic, channel)
    replaces?.replace()
    this.#host.channelsChanged(this)
    if (join.request.postgresChanges.length <= LARGE_JOIN) return channel.join()
    this.#services.runtime.endOfTurn(() => {
      if (!channel.closed) channel.join()
    })
  }

  #keepsUp(): boolean {
    const backlog = this.#transport.backlogBytes()
    if (backlog <= this.#limits.backlog.maxBytes) {
      this.#backlog = null
      return true
    }
    this.#backlog ??= new Backlog(this.#limits.backlog)
    return this.#backlog.allows({
      written: this.#bytesWritten,
      taken: this.#takenBytes(),
      backlog,
      now: this.#services.runtime.uptime(),
    })
  }

  #takenBytes(): number {
    return this.#transport.takenBytes?.() ?? this.#bytesWritten - this.#transport.backlogBytes()
  }

  #forget(topic: string, channel: Channel, waiting: readonly ClientFrame[]): void {
    if (this.#channels.get(topic) === channel) this.#channels.delete(topic)
    this.#host.channelsChanged(this)
    this.#dispatchAll(waiting)
  }

  #dispatchAll(frames: readonly ClientFrame[]): void {
    for (const frame of frames) if (this.#state.kind === 'open') this.#dispatch(frame)
  }

  #refuseJoin(frame: ClientFrame, { code, reason, private: isPrivate }: JoinRefusal): void {
    const kind = isPrivate === undefined ? {} : { private: isPrivate }
    this.#services.observer.decision({ kind: 'join-refused', code, detail: reason, connection: this.id, topic: frame.topic, ...kind })
    this.#reply(frame.joinRef, frame.ref, frame.topic, 'error', { reason })
  }

  /** Rule X2: the sender gets the fault, on its ref where the frame had one that could be read. */
  #refuseFrame(fault: Extract<ReturnType<typeof decodeClientFrame>, { ok: false }>): void {
    this.#services.observer.decision({ kind: 'frame-refused', code: fault.code, detail: fault.detail, connection: this.id })
    if (!this.allowEvent()) return this.close(CloseCode.policyViolation, 'Too many malformed frames')
    if (fault.envelope !== undefined && fault.envelope.ref !== null) {
      const { joinRef, ref, topic } = fault.envelope
      return this.#reply(joinRef, ref, topic, 'error', { reason: `MalformedPayload: ${fault.detail}` })
    }
    if (!this.allowNotice(fault.code)) return
    const payload = { message: `MalformedWebSocketMessage: ${fault.detail}`, status: 'error', extension: 'system' }
    this.#send({ joinRef: null, ref: null, topic: PHOENIX_TOPIC, event: 'system', payload })
  }

  #reply(joinRef: Ref, ref: Ref, topic: string, status: 'ok' | 'error', response: unknown): void {
    this.#send({ joinRef, ref, topic, event: 'phx_reply', payload: { status, response } })
  }

  #send(message: Parameters<typeof encodeTextMessage>[1]): void {
    this.write(textFrame(encodeTextMessage(this.version, message)), 1)
  }

  #step(event: ConnectionEvent): void {
    const { state, effects } = connectionTransition(this.#state, event, this.#limits)
    this.#state = state
    this.#effects.run(effects, (effect) => this.#perform(effect))
  }

  #perform(effect: ConnectionEffect): void {
    switch (effect.type) {
      case 'leave-all':
        return this.#leaveAll()
      case 'close-transport':
        this.#isWritable = false
        if (effect.code !== 1000)
          this.#services.observer.decision({
            kind: 'connection-closed',
            code: `close-${effect.code}`,
            detail: effect.reason === '' ? 'the server closed the connection; the client may come back' : effect.reason,
            connection: this.id,
          })
        return this.#transport.close(effect.code, effect.reason)
      case 'terminate-transport':
        return this.#transport.terminate()
    }
  }

  #leaveAll(): void {
    for (const channel of this.#channels.values()) channel.connectionClosed()
    this.#channels.clear()
    this.#host.channelsChanged(this)
  }
}

const NO_CLAIMS: Claims = {}

/** To read more entries than this takes a turn of its own. */
const LARGE_JOIN = 100

/** A client with many channels sends some of these for each, all at once. */
const MIN_IDLE_FRAMES_PER_SECOND = 100

/** More than a client has under way that does not know yet that it is closed. */
const MAX_LATE_FRAMES = 1_000

function textOf(claim: unknown): string | null {
  return typeof claim === 'string' ? claim : null
}
