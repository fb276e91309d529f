import type {
  NodeChannel,
  PeerEvent,
  Relay,
  RelayFaultCode,
  RelayInterest,
  RelayLink,
  RelayListener,
  RelayMessage,
  RelayPeer,
  RelayStats,
  RelayTopic,
  Runtime,
  TimerHandle,
} from '@tidewire/server'
import type { Broker, BrokerSession } from './broker.ts'
import {
  decodeEnvelope,
  encodeBatch,
  encodeBeat,
  encodedSize,
  encodeNodeMessage,
  encodeParts,
  HEAD_BYTES,
  type Beat,
  type Envelope,
} from './envelope.ts'
import { Faults } from './faults.ts'
import { Interests, within, type Entry } from './interests.ts'
import { Link } from './link.ts'
import { Parts } from './parts.ts'
import { Peers } from './peers.ts'
import { Subjects, topicKeyOf } from './subjects.ts'

/** What a relay stands on, and what its node is called. */
export interface BrokerRelayOptions {
  readonly broker: Broker
  readonly runtime: Runtime
  /** Of this node, for people. Two nodes should not share one. */
  readonly name: string
  /** Of the program. */
  readonly version: string
  /** All subjects begin with it. Default `tidewire`. */
  readonly prefix?: string
  /** Keeps installations on one broker apart. Asked once; the link is down until it is known. Retries by itself. */
  readonly databaseId: () => Promise<string>
  /** base64url of a cryptographic hash. */
  readonly hash: (text: string) => string
}

const TICK_MS = 1_000
const CLOSE_MS = 2_000
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024

/** A relay over a broker that knows nothing but subjects. */
export class BrokerRelay implements Relay {
  readonly self: RelayPeer
  readonly #options: BrokerRelayOptions
  readonly #runtime: Runtime
  readonly #link: Link
  readonly #interests: Interests
  readonly #peers = new Peers()
  readonly #faults: Faults
  readonly #parts = new Parts({ maxMessageBytes: MAX_MESSAGE_BYTES, maxPendingBytes: 4 * MAX_MESSAGE_BYTES, timeoutMs: 10_000 })
  readonly #sent = { messages: 0, bytes: 0 }
  readonly #received = { messages: 0, bytes: 0 }
  /** Topics on which something came that this node cannot read. */
  readonly #unreadable = new Map<string, RelayTopic>()
  #listener: RelayListener | null = null
  #subjects: Subjects | null = null
  #ticking: TimerHandle | null = null
  #state: Beat['state'] = 'up'
  #beatNumber = 0
  /** Something was not sent, or may not have been, since the last beat. */
  #mayHaveLost = false
  #partId = 0
  #closing: Promise<void> | null = null

  constructor(options: BrokerRelayOptions) {
    const { broker, runtime, name, version } = options
    this.#options = options
    this.#runtime = runtime
    const random = runtime.randomBytes(9)
    const instance = Buffer.from(random.buffer, random.byteOffset, random.byteLength).toString('base64url')
    this.self = { instance, name, version, startedAt: runtime.now() }
    this.#faults = new Faults((fault) => this.#listener?.onFault(fault))
    this.#link = new Link(broker, runtime, {
      opened: (session) => this.#opened(session),
      changed: (link) => this.#linkChanged(link),
      lost: () => this.#lost(),
      refused: (detail) => this.#fault('broker', detail),
    })
    this.#interests = new Interests(
      runtime,
      this.#link,
      (key) => this.#subjects?.topic(key) ?? null,
      (entry, bytes) => this.#receiveTopic(entry, bytes),
    )
  }

  get link(): RelayLink {
    return this.#link.state
  }

  get peers(): readonly RelayPeer[] {
    return this.#peers.all
  }

  start(listener: RelayListener): void {
    this.#listener = listener
    this.#ticking = this.#runtime.setTimer(this.#tick, TICK_MS)
    const { prefix = 'tidewire', hash } = this.#options
    this.#options.databaseId().then(
      (id) => {
        this.#subjects = new Subjects(prefix, id, hash)
        this.#link.dial()
      },
      // It rejects only when the database is closed, which is the end of this node.
      () => {},
    )
  }

  publish(topic: RelayTopic, messages: readonly RelayMessage[]): boolean {
    const subject = this.#interests.find(topic)?.subject ?? this.#subjects?.topic(topicKeyOf(topic)) ?? null
    const limit = this.#link.session?.maxPayloadBytes
    if (subject === null || limit === undefined) return this.#unsent('unsent')
    const whole = messages.length === 1 || sizeOf(messages) <= limit
    let sent = true
    for (const batch of whole ? [messages] : batches(messages, limit)) {
      sent = this.#put(subject, encodeBatch(this.self.instance, batch), limit) && sent
      if (sent) this.#sent.messages += batch.length
    }
    return sent
  }

  interest(topic: RelayTopic): RelayInterest {
    return this.#interests.add(topic)
  }

  send(channel: NodeChannel, bytes: Uint8Array, to?: string): boolean {
    const limit = this.#link.session?.maxPayloadBytes
    if (this.#subjects === null || limit === undefined) return false
    const subject = to === undefined ? this.#subjects.all : this.#subjects.node(to)
    return this.#put(subject, encodeNodeMessage(this.self.instance, channel, bytes), limit)
  }

  caughtUp(): Promise<boolean> {
    if (this.#link.state.state !== 'up') return Promise.resolve(false)
    return within(this.#runtime, this.#link.confirm(), TICK_MS)
  }

  leave(): void {
    if (this.#state !== 'up') return
    this.#state = 'leaving'
    this.#beat()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  stats(): RelayStats {
    return {
      sentMessages: this.#sent.messages,
      sentBytes: this.#sent.bytes,
      receivedMessages: this.#received.messages,
      receivedBytes: this.#received.bytes,
      reconnects: Math.max(0, this.#link.sessions - 1),
      subscriptions: this.#interests.size,
      faults: this.#faults.totals(),
    }
  }

  async #close(): Promise<void> {
    this.#state = 'closing'
    this.#ticking?.cancel()
    this.#beat()
    const closed = this.#link.close().then(() => true)
    await within(this.#runtime, closed, CLOSE_MS)
  }

  readonly #tick = (): void => {
    this.#ticking = this.#runtime.setTimer(this.#tick, TICK_MS)
    const now = this.#runtime.uptime()
    if (this.#subjects === null) this.#link.wait('the database, whose id names the subjects, has not answered yet')
    this.#beat()
    this.#interests.sweep()
    this.#reportGaps(this.#parts.expire(now).flatMap((key) => this.#lostParts(key)))
    this.#reportGaps([...this.#unreadable.values()])
    this.#unreadable.clear()
    this.#faults.tick(now)
    void this.caughtUp().then((read) => {
      if (read) for (const event of this.#peers.tick()) this.#peer(event)
    })
    this.#link.tick()
  }

  #opened(session: BrokerSession): void {
    const subjects = this.#subjects!
    const received = (bytes: Uint8Array): void => this.#receiveNode(bytes)
    session.subscribe(subjects.all, received)
    session.subscribe(subjects.node(this.self.instance), received)
    this.#interests.reopen(session)
    this.#beat()
  }

  #linkChanged(link: RelayLink): void {
    if (link.state === 'up') this.#interests.opened()
    this.#listener?.onLink(link)
    if (link.state === 'up' && this.#interests.size > 0) this.#listener?.onGap('all')
  }

  #lost(): void {
    this.#mayHaveLost = true
    this.#parts.clear()
    this.#interests.lost()
  }

  #beat(): void {
    if (this.#subjects === null || this.#link.session === null) return
    this.#beatNumber += this.#mayHaveLost ? 2 : 1
    this.#mayHaveLost = false
    this.#link.publish(this.#subjects.all, this.#encodedBeat())
  }

  #encodedBeat(): Buffer {
    const { instance, name, version, startedAt } = this.self
    return encodeBeat(instance, { number: this.#beatNumber, state: this.#state, name, version, startedAt })
  }

  #put(subject: string, envelope: Buffer, limit: number): boolean {
    if (envelope.length <= limit) return this.#handOver(subject, envelope)
    if (envelope.length > MAX_MESSAGE_BYTES) return this.#unsent('overflow', `one is larger than ${MAX_MESSAGE_BYTES} bytes`)
    const id = (this.#partId = (this.#partId + 1) >>> 0)
    // After one part that was not sent the others are of no use.
    return encodeParts(this.self.instance, id, envelope, limit).every((part) => this.#handOver(subject, part))
  }

  #handOver(subject: string, bytes: Buffer): boolean {
    const outcome = this.#link.publish(subject, bytes)
    if (outcome !== 'sent') return this.#unsent(outcome)
    this.#sent.bytes += bytes.length
    return true
  }

  #unsent(code: 'unsent' | 'overflow', why: string = this.#whyUnsent(code)): false {
    this.#mayHaveLost = true
    this.#fault(code, `Messages were not sent to other nodes: ${why}`)
    return false
  }

  #whyUnsent(code: 'unsent' | 'overflow'): string {
    const link = this.#link.state
    if (code === 'overflow') return 'the broker confirms too little of what it was sent'
    return link.state === 'down' ? link.detail : 'not connected'
  }

  #receiveTopic(entry: Entry, bytes: Uint8Array): void {
    const envelope = this.#read(entry.key, bytes, entry.topic)
    if (envelope === null) return
    if (envelope.kind !== 'batch') return this.#fault('malformed', 'A message on the subject of a topic holds no broadcasts')
    this.#received.messages += envelope.messages.length
    // Kept for a member that may return; without one there is nobody to deliver to.
    if (entry.members > 0) this.#listener?.onMessage(entry.topic, envelope.messages, envelope.from)
  }

  #receiveNode(bytes: Uint8Array): void {
    const envelope = this.#read('', bytes, null)
    if (envelope === null) return
    if (envelope.kind === 'node') this.#listener?.onNodeMessage(envelope.channel, envelope.bytes, envelope.from)
    else if (envelope.kind === 'beat') this.#hear(envelope.from, envelope.beat)
    else this.#fault('malformed', 'A node message holds broadcasts')
  }

  /** An envelope that is whole and of another node. */
  #read(key: string, bytes: Uint8Array, topic: RelayTopic | null): Exclude<Envelope, { readonly kind: 'part' }> | null {
    this.#received.bytes += bytes.length
    const decoded = decodeEnvelope(bytes)
    if (!decoded.ok) {
      const { code, detail } = decoded.fault
      if (code === 'version' && topic !== null) this.#unreadable.set(key, topic)
      this.#fault(code, `A message from the broker cannot be read: ${detail}`)
      return null
    }
    const envelope = decoded.value
    if (envelope.from === this.self.instance) return null
    const source = `${envelope.from} ${key}`
    if (envelope.kind !== 'part') {
      if (this.#parts.interrupt(source)) this.#reportGaps(this.#lostParts(source))
      return envelope
    }
    const { whole, lost } = this.#parts.add(source, envelope.part, this.#runtime.uptime())
    if (lost) this.#reportGaps(this.#lostParts(source))
    if (whole === null) return null
    const inner = decodeEnvelope(whole)
    if (inner.ok && inner.value.kind !== 'part' && inner.value.from === envelope.from) return inner.value
    this.#fault('malformed', 'A message that came in parts cannot be read')
    return null
  }

  #hear(from: string, beat: Beat): void {
    const { state, sinceUptimeMs } = this.#link.state
    const connectedMs = state === 'up' ? this.#runtime.uptime() - sinceUptimeMs : 0
    if (this.#peers.isFull && !this.#peers.has(from))
      return this.#fault('malformed', 'More than a thousand nodes are heard: something else publishes on these subjects')
    const { events, gap, isNew } = this.#peers.hear(from, beat, connectedMs)
    for (const event of events) this.#peer(event)
    if (gap && this.#interests.size > 0) this.#listener?.onGap('all')
    if (!isNew) return
    if (beat.name === this.self.name)
      this.#fault('same-name', `Another running node is called ${beat.name}, too: instance ${from}. Give each node a name of its own`)
    this.#link.publish(this.#subjects!.node(from), this.#encodedBeat())
  }

  #peer(event: PeerEvent): void {
    this.#listener?.onPeer(event)
  }

  /** The topic of a message whose parts did not all come. */
  #lostParts(source: string): readonly RelayTopic[] {
    this.#fault('incomplete', 'Parts of a large message did not all come')
    const key = source.slice(source.indexOf(' ') + 1)
    const isPrivate = key.startsWith('private:')
    return key === '' ? [] : [{ name: key.slice(key.indexOf(':') + 1), private: isPrivate }]
  }

  #reportGaps(topics: readonly RelayTopic[]): void {
    if (topics.length > 0) this.#listener?.onGap(topics)
  }

  #fault(code: RelayFaultCode, detail: string): void {
    this.#faults.add(code, detail, this.#runtime.uptime())
  }
}

function sizeOf(messages: readonly RelayMessage[]): number {
  return messages.reduce((sum, message) => sum + encodedSize(message), HEAD_BYTES)
}

/** Groups that fit; a message that is too large alone is a group, and is sent in parts. */
function* batches(messages: readonly RelayMessage[], limit: number): Generator<readonly RelayMessage[]> {
  let batch: RelayMessage[] = []
  let bytes = HEAD_BYTES
  for (const message of messages) {
    const size = encodedSize(message)
    if (batch.length > 0 && bytes + size > limit) {
      yield batch
      batch = []
      bytes = HEAD_BYTES
    }
    batch.push(message)
    bytes += size
  }
  if (batch.length > 0) yield batch
}
