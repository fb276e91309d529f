import {
  ADMIN_TOPIC,
  CloseCode,
  encodeTextMessage,
  Machine,
  PHOENIX_TOPIC,
  subTopicOf,
  type ClientFrame,
  type Decoded,
  type FrameBounds,
  type Ref,
  type Version,
} from '@tidewire/protocol'
import { Channel } from '../channel/channel.ts'
import type { ChannelConnection, Services } from '../channel/services.ts'
import type { WaitingBytes } from '../channel/waiting-frames.ts'
import { ConnectionRates } from '../limits/connection-rates.ts'
import type { UnfinishedFault } from '../limits/unfinished-messages.ts'
import type { Claims } from '../ports.ts'
import { textFrame } from '../topic/websocket-frame.ts'
import type { AdminEndpoint, AdminPeer } from './admin-endpoint.ts'
import type { ConnectionLimits } from './connection-limits.ts'
import {
  connectionTransition,
  initialConnection,
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionState,
  type ConnectionTransition,
} from './connection-state.ts'
import { FrameReader, LARGE_FRAME_BYTES, readWhole } from './frame-reader.ts'
import { answerIdleFrame } from './idle-frame.ts'
import { admitJoin, type JoinHost } from './join-admission.ts'
import { isLargeJoin, joinInSteps } from './large-join.ts'
import { refuseFrame, refuseIdleFrame, reportClose, reportUnfinished } from './refusals.ts'
import { SocketOutput } from './socket-output.ts'
import type { ConnectionDetails, Transport } from './transport.ts'

/** The server and its other connections, as one connection sees them. */
export interface ConnectionHost extends JoinHost {
  channelsChanged(connection: Connection): void
  closed(connection: Connection): void
  /** `null`: the inspector is off. */
  readonly admin: AdminEndpoint | null
}

/** One socket: reads envelopes, finds the channel, keeps the limits of a socket. What a channel does is not known here. */
export class Connection implements ChannelConnection, AdminPeer {
  readonly id: string
  readonly version: Version
  readonly token: string
  readonly headers: Readonly<Record<string, string>>
  readonly claims: Claims
  readonly foreignOrigin: boolean
  readonly userAgent: string | null
  readonly waiting: WaitingBytes = { bytes: 0 }
  readonly rates: ConnectionRates
  readonly output: SocketOutput
  readonly services: Services
  /** Unix milliseconds. */
  readonly connectedAt: number
  /** Unix milliseconds. */
  lastHeartbeatAt: number | null = null
  framesReceived = 0
  readonly #transport: Transport
  /** Made with the first large frame. */
  #reader: FrameReader | null = null
  readonly #host: ConnectionHost
  readonly #limits: ConnectionLimits
  readonly #channels = new Map<string, Channel>()
  /** Frames that came after the close. */
  #lateFrames = 0
  static readonly #performOn = (effect: ConnectionEffect, connection: Connection): void => connection.#perform(effect)
  static readonly #transitionOf = (state: ConnectionState, event: ConnectionEvent, connection: Connection): ConnectionTransition =>
    connectionTransition(state, event, connection.#limits)
  readonly #machine = new Machine<ConnectionState, ConnectionEvent, ConnectionEffect, Connection>(
    initialConnection,
    Connection.#transitionOf,
    Connection.#performOn,
    this,
  )
  #heard = true

  constructor(details: ConnectionDetails, transport: Transport, services: Services, host: ConnectionHost, limits: ConnectionLimits) {
    this.id = details.id
    this.version = details.version
    this.token = details.token
    this.headers = details.headers
    this.claims = details.claims ?? NO_CLAIMS
    this.foreignOrigin = details.foreignOrigin ?? false
    this.userAgent = details.userAgent ?? null
    this.connectedAt = services.runtime.now()
    this.#transport = transport
    this.services = services
    this.#host = host
    this.#limits = limits
    this.rates = new ConnectionRates(services.limits, services.runtime)
    this.output = new SocketOutput(transport, limits.backlog, services.runtime, this)
  }

  get channelCount(): number {
    return this.#channels.size
  }

  get backlogBytes(): number {
    return this.output.backlogBytes
  }

  /** Its channels, joined or joining. */
  get channels(): Iterable<Channel> {
    return this.#channels.values()
  }

  get frameBounds(): FrameBounds {
    return this.#limits.frame
  }

  /** The address of the other end, which may be a proxy; `null` where it is not known. */
  get address(): string | null {
    return this.#transport.address?.() ?? null
  }

  /** Whether it is neither closed nor closing. */
  get isOpen(): boolean {
    return this.#machine.state.kind === 'open'
  }

  /** Whether it acts for this user, by the token that it connected with or by that of one of its channels. */
  actsFor(sub: string): boolean {
    return this.claims['sub'] === sub || [...this.#channels.values()].some(({ identity }) => identity?.claims['sub'] === sub)
  }

  /** Takes a frame from the client. A text frame comes as bytes, too. */
  receive(data: Uint8Array, binary: boolean): void {
    if (this.#machine.state.kind !== 'open') return this.#receiveLate()
    this.#heard = true
    this.framesReceived++
    this.services.observer.received(data.length)
    if (this.#reader === null && data.length <= LARGE_FRAME_BYTES) readWhole(this, data, binary)
    else this.#madeReader.read(data, binary)
  }

  /** Pauses reading while there is no room for large messages. To be called while one comes. */
  awaitRoom(): void {
    if (this.services.largeFrames.isFull) this.#madeReader.awaitRoom()
  }

  get #madeReader(): FrameReader {
    return (this.#reader ??= new FrameReader(this, this.#transport))
  }

  /** A frame that was read, in order. */
  take(frame: Decoded<ClientFrame>): void {
    if (frame.ok) this.#dispatch(frame.value)
    else refuseFrame(this, frame)
  }

  /** Cuts a client that goes on sending after the close: to read its frames costs all others. */
  #receiveLate(): void {
    if (++this.#lateFrames === MAX_LATE_FRAMES) this.#transport.terminate()
  }

  write(frames: Buffer, messages: number): void {
    this.output.write(frames, messages)
  }

  /** The answer to a frame that no channel has taken. */
  reply(joinRef: Ref, ref: Ref, topic: string, status: 'ok' | 'error', response: unknown): void {
    this.#send({ joinRef, ref, topic, event: 'phx_reply', payload: { status, response } })
  }

  systemError(message: string): void {
    const payload = { message, status: 'error', extension: 'system' }
    this.#send({ joinRef: null, ref: null, topic: PHOENIX_TOPIC, event: 'system', payload })
  }

  allowIdleFrame(): boolean {
    if (this.#machine.state.kind !== 'open') return false
    if (this.rates.allowIdleFrame()) return true
    refuseIdleFrame(this)
    return false
  }

  /** The backlog is over its bound: called at the end of the turn in which that was noticed. */
  overflowed(): void {
    this.#machine.send({ type: 'overflow' })
  }

  closeForJoins(): void {
    this.close(CloseCode.goingAway, 'Too many joins per second')
  }

  /** Checks for silence, congestion and expired tokens. To be called at a fixed interval. */
  sweep(): void {
    const moved = this.output.hasMoved()
    if (this.#machine.state.kind === 'open' && !this.output.keepsUp()) this.#machine.send({ type: 'overflow' })
    this.#machine.send({ type: 'sweep', heard: this.#heard, moved })
    this.#heard = false
    const now = this.services.runtime.now()
    for (const channel of this.#channels.values()) {
      const late = now - channel.expiresAtMs
      if (late >= 0) channel.stop('token-expired', `Token has expired ${Math.floor(late / 1000)} seconds ago`)
    }
  }

  close(code: number, reason: string): void {
    this.#machine.send({ type: 'close', code, reason })
  }

  /** Closes the socket because of a message that did not end in time, or because unfinished messages take too much memory. */
  refuseUnfinished(fault: UnfinishedFault): void {
    this.#machine.send({ type: 'abort', code: CloseCode.policyViolation, reason: reportUnfinished(this, fault) })
  }

  /** The socket is gone; `code` is the close code that was seen. */
  transportClosed(code: number): void {
    // Frames that the client sent before it closed are still read.
    if (this.#reader === null) this.#ended(code)
    else this.#reader.atEnd(() => this.#ended(code))
  }

  #ended(code: number): void {
    this.output.end()
    this.#machine.send({ type: 'transport-closed' })
    this.#host.closed(this)
    this.services.observer.disconnected(this.id, code)
  }

  #dispatch(frame: ClientFrame): void {
    const { topic, event } = frame
    const channel = this.#channels.get(topic)
    if (channel !== undefined && (event !== 'phx_join' || !channel.joined)) return channel.receive(frame)
    const isForAdmin = topic === ADMIN_TOPIC && this.#host.admin !== null
    if (event === 'phx_join' && !isForAdmin && subTopicOf(topic) !== null) return this.#join(frame, channel ?? null)
    if (!this.allowIdleFrame()) return
    if (isForAdmin) this.#host.admin?.receive(frame, this)
    else answerIdleFrame(this, frame)
  }

  #join(frame: ClientFrame, replaces: Channel | null): void {
    const { topic, ref, joinRef } = frame
    const subTopic = subTopicOf(topic) ?? ''
    const request = admitJoin(this, frame, { subTopic, replaces: replaces !== null }, this.#host, this.#limits)
    if (request === null) return
    const isLarge = isLargeJoin(request, frame.payload)
    const channel = new Channel(this, this.services, {
      subTopic,
      joinRef,
      ref,
      request,
      isLarge,
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
    if (isLarge) joinInSteps(channel, this.services.runtime)
    else channel.join()
  }

  #forget(topic: string, channel: Channel, waiting: readonly ClientFrame[]): void {
    if (this.#channels.get(topic) === channel) this.#channels.delete(topic)
    this.#host.channelsChanged(this)
    this.#dispatchAll(waiting)
  }

  #dispatchAll(frames: readonly ClientFrame[]): void {
    for (const frame of frames) if (this.#machine.state.kind === 'open') this.#dispatch(frame)
  }

  #send(message: Parameters<typeof encodeTextMessage>[1]): void {
    this.write(textFrame(encodeTextMessage(this.version, message)), 1)
  }

  #perform(effect: ConnectionEffect): void {
    switch (effect.type) {
      case 'leave-all':
        for (const channel of this.#channels.values()) channel.connectionClosed()
        this.#channels.clear()
        return this.#host.channelsChanged(this)
      case 'close-transport':
        this.output.end()
        reportClose(this, effect.code, effect.reason)
        return this.#transport.close(effect.code, effect.reason)
      case 'terminate-transport':
        return this.#transport.terminate()
    }
  }
}

const NO_CLAIMS: Claims = {}

/** The socket is cut after so many frames that came after its close: more than a client sends before it notices. */
const MAX_LATE_FRAMES = 1_000
