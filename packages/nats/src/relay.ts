import { formatTopicKey } from '@tidewire/protocol'
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
import { encodeBeat, type Beat } from './envelope.ts'
import { Faults } from './faults.ts'
import { Inbox } from './inbox.ts'
import { Interests, within, type Entry } from './interests.ts'
import { Link } from './link.ts'
import { Numbers } from './numbers.ts'
import { Outbox } from './outbox.ts'
import { Peers } from './peers.ts'
import { Subjects } from './subjects.ts'

/** Ports of a relay, and the name of its node. */
export interface BrokerRelayOptions {
  readonly broker: Broker
  readonly runtime: Runtime
  /** The name of this node, for people. Two nodes should not share one. */
  readonly name: string
  /** The version of the program. */
  readonly version: string
  /** The first token of all subjects. Default `tidewire`. */
  readonly prefix?: string
  /** Separates installations on one broker. Called once; must retry by itself. The link is down until it resolves. */
  readonly databaseId: () => Promise<string>
  /** base64url of a cryptographic hash. */
  readonly hash: (text: string) => string
}

const TICK_MS = 1_000
const CLOSE_MS = 2_000

/** The relay port on a publish-subscribe broker. */
export class BrokerRelay implements Relay {
  readonly self: RelayPeer
  readonly #options: BrokerRelayOptions
  readonly #runtime: Runtime
  readonly #link: Link
  readonly #interests: Interests
  readonly #peers = new Peers()
  readonly #numbers = new Numbers()
  readonly #faults: Faults
  readonly #inbox: Inbox
  readonly #outbox: Outbox
  #receivedMessages = 0
  #listener: RelayListener | null = null
  #subjects: Subjects | null = null
  #ticking: TimerHandle | null = null
  #state: Beat['state'] = 'up'
  #spreadMs = 0
  #closing: Promise<void> | null = null

  constructor(options: BrokerRelayOptions) {
    const { broker, runtime, name, version } = options
    this.#options = options
    this.#runtime = runtime
    const random = runtime.randomBytes(9)
    const instance = Buffer.from(random.buffer, random.byteOffset, random.byteLength).toString('base64url')
    this.self = { instance, name, version, startedAt: runtime.now() }
    this.#faults = new Faults((fault) => this.#listener?.onFault(fault))
    const fault = (code: RelayFaultCode, detail: string): void => this.#fault(code, detail)
    this.#link = new Link(broker, runtime, {
      opened: (session) => this.#opened(session),
      changed: (link) => this.#linkChanged(link),
      lost: () => this.#lost(),
      refused: (detail) => fault('broker', detail),
    })
    this.#inbox = new Inbox(instance, runtime, { fault, gap: (topics) => this.#listener?.onGap(topics) })
    this.#outbox = new Outbox(instance, this.#link, this.#numbers, fault)
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
      // The id is refused only when the database is closed, and with it this node.
      () => {},
    )
  }

  publish(topic: RelayTopic, messages: readonly RelayMessage[]): boolean {
    const key = formatTopicKey(topic)
    const sent = this.#numbers.topic(key)
    sent.subject ??= this.#interests.find(key)?.subject ?? this.#subjects?.topic(key) ?? null
    const whole = this.#outbox.publish(sent, messages)
    if (this.#numbers.isFull) this.#beat()
    return whole
  }

  interest(topic: RelayTopic): RelayInterest {
    return this.#interests.add(topic)
  }

  send(channel: NodeChannel, bytes: Uint8Array, to?: string): boolean {
    if (this.#subjects === null) return false
    return this.#outbox.send(to === undefined ? this.#subjects.all : this.#subjects.node(to), channel, bytes)
  }

  caughtUp(): Promise<boolean> {
    if (this.#link.state.state !== 'up') return Promise.resolve(false)
    return within(this.#runtime, this.#link.confirm(), TICK_MS)
  }

  leave(spreadMs: number): void {
    if (this.#state !== 'up') return
    this.#state = 'leaving'
    this.#spreadMs = spreadMs
    this.#beat()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  stats(): RelayStats {
    return {
      sentMessages: this.#outbox.sent.messages,
      sentBytes: this.#outbox.sent.bytes,
      receivedMessages: this.#receivedMessages,
      receivedBytes: this.#inbox.receivedBytes,
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
    this.#inbox.tick()
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
    // Counts as a lost beat: the next one makes the others report a gap on all topics, also on those that they have just subscribed to.
    this.#numbers.beat()
    this.#inbox.lost()
    this.#interests.lost()
  }

  /** Sends a beat. Without a session, the numbers wait for the first beat of the next one; if they are too many, this beat counts as lost. */
  #beat(): void {
    if (this.#link.session === null && !this.#numbers.isFull) return
    const bytes = this.#encodedBeat(this.#numbers.beat())
    if (this.#subjects !== null) this.#outbox.beat(this.#subjects.all, bytes)
  }

  #encodedBeat(numbers: Pick<Beat, 'number' | 'previous' | 'sent'>): Buffer {
    const { instance, name, version, startedAt } = this.self
    return encodeBeat(instance, { ...numbers, state: this.#state, name, version, startedAt, spreadMs: this.#spreadMs })
  }

  #receiveTopic(entry: Entry, bytes: Uint8Array): void {
    const envelope = this.#inbox.read(entry.key, bytes, entry.topic)
    if (envelope === null) return
    if (envelope.kind !== 'batch') return this.#fault('malformed', 'A message on the subject of a topic holds no broadcasts')
    const place = this.#peers.take(envelope.from, entry, envelope.numbers)
    // A gap was reported where it was missing. Handing it on would break the order of its sender.
    if (place === 'late') return
    this.#receivedMessages += envelope.messages.length
    // The subscription is kept for a member that may return; meanwhile its messages have no receiver.
    if (entry.members > 0) this.#listener?.onMessage(entry.topic, envelope.messages, envelope.from)
    if (place === 'gap') this.#listener?.onGap([entry.topic])
  }

  #receiveNode(bytes: Uint8Array): void {
    const envelope = this.#inbox.read('', bytes, null)
    if (envelope === null) return
    if (envelope.kind === 'node') this.#listener?.onNodeMessage(envelope.channel, envelope.bytes, envelope.from)
    else if (envelope.kind === 'beat') this.#hear(envelope.from, envelope.beat)
    else this.#fault('malformed', 'A node message holds broadcasts')
  }

  #hear(from: string, beat: Beat): void {
    const { state, sinceUptimeMs } = this.#link.state
    const connectedMs = state === 'up' ? this.#runtime.uptime() - sinceUptimeMs : 0
    if (this.#peers.isFull && !this.#peers.has(from))
      return this.#fault('malformed', 'More than a thousand nodes are heard: something else publishes on these subjects')
    const { events, gap, isNew } = this.#peers.hear(from, beat, connectedMs, this.#interests)
    for (const event of events) this.#peer(event)
    if (gap === 'all' ? this.#interests.size > 0 : gap.length > 0) this.#listener?.onGap(gap)
    if (!isNew) return
    if (beat.name === this.self.name)
      this.#fault('same-name', `Another running node is called ${beat.name}, too: instance ${from}. Give each node a name of its own`)
    this.#link.publish(this.#subjects!.node(from), this.#encodedBeat({ number: this.#numbers.last, previous: null, sent: [] }))
  }

  #peer(event: PeerEvent): void {
    this.#listener?.onPeer(event)
  }

  #fault(code: RelayFaultCode, detail: string): void {
    this.#faults.add(code, detail, this.#runtime.uptime())
  }
}
