import type { Broker, BrokerEvents, BrokerSession } from '@tidewire/nats'
import type { ServerRuntime } from './server-runtime.ts'

/** The bounds and the delay of a broker in memory. */
export interface BrokerNetworkOptions {
  readonly maxPayloadBytes?: number
  /** Milliseconds from publish to delivery, asked for every message. Order holds between two sessions. */
  readonly delayMs?: () => number
}

/** A broker in memory, on a clock that is moved by hand: every node gets an end of its own, which can be cut or made silent. */
export class BrokerNetwork {
  readonly ends: BrokerEnd[] = []
  readonly runtime: ServerRuntime
  readonly maxPayloadBytes: number
  readonly delayMs: () => number
  /** Whether what `from` publishes reaches `to`; both stay connected. Replace it to partition the brokers. */
  reaches: (from: BrokerEnd, to: BrokerEnd) => boolean = () => true

  /** Passes on what reaches an end. Replace it to lose messages, or to deliver them twice or later. */
  carry: (subject: string, to: BrokerEnd, deliver: () => void) => void = (_subject, _to, deliver) => deliver()

  constructor(runtime: ServerRuntime, { maxPayloadBytes = 65_536, delayMs = () => 0 }: BrokerNetworkOptions = {}) {
    this.runtime = runtime
    this.maxPayloadBytes = maxPayloadBytes
    this.delayMs = delayMs
  }

  end(): BrokerEnd {
    const end = new BrokerEnd(this)
    this.ends.push(end)
    return end
  }

  /** As another client of the broker would. */
  inject(subject: string, bytes: Uint8Array): void {
    for (const end of this.ends) end.session?.deliver(subject, bytes)
  }
}

/** One node's end. */
export class BrokerEnd implements Broker {
  readonly place: string = 'a broker in memory'
  readonly #network: BrokerNetwork
  session: Session | null = null
  #refusal: string | null = null
  /** Subjects with how many messages were published on them. */
  readonly published: Map<string, number> = new Map()

  constructor(network: BrokerNetwork) {
    this.#network = network
  }

  connect(events: BrokerEvents): Promise<BrokerSession> {
    if (this.#refusal !== null) return Promise.reject(new Error(this.#refusal))
    this.session = new Session(this.#network, this, events)
    return Promise.resolve(this.session)
  }

  /** Ends the session, and refuses new ones with this sentence until `heal`. */
  cut(sentence = 'a broker in memory was cut'): void {
    this.#refusal = sentence
    this.session?.end(sentence)
    this.session = null
  }

  heal(): void {
    this.#refusal = null
    this.session?.thaw()
  }

  /** Nothing passes in either direction, and no end is notified: as a network that loses everything. */
  blackhole(): void {
    this.session?.freeze()
  }
}

class Session implements BrokerSession {
  readonly #network: BrokerNetwork
  readonly #end: BrokerEnd
  readonly #events: BrokerEvents
  readonly #subscriptions = new Map<string, Set<(bytes: Uint8Array) => void>>()
  readonly #confirmations = new Set<(error: Error) => void>()
  #frozen = false
  #ended = false
  #lastAt = 0

  constructor(network: BrokerNetwork, end: BrokerEnd, events: BrokerEvents) {
    this.#network = network
    this.#end = end
    this.#events = events
  }

  get maxPayloadBytes(): number {
    return this.#network.maxPayloadBytes
  }

  publish(subject: string, bytes: Uint8Array): boolean {
    if (bytes.length > this.maxPayloadBytes) return false
    this.#end.published.set(subject, (this.#end.published.get(subject) ?? 0) + 1)
    if (this.#frozen || this.#ended) return true
    const { ends, reaches, carry } = this.#network
    for (const end of ends) {
      if (end !== this.#end && reaches(this.#end, end)) carry(subject, end, () => end.session?.deliver(subject, bytes))
    }
    return true
  }

  subscribe(subject: string, received: (bytes: Uint8Array) => void): () => void {
    const present = this.#subscriptions.get(subject) ?? new Set()
    present.add(received)
    this.#subscriptions.set(subject, present)
    return () => {
      present.delete(received)
      if (present.size === 0) this.#subscriptions.delete(subject)
    }
  }

  confirm(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(new Error('ended'))
      this.#confirmations.add(reject)
      if (this.#frozen) return
      this.#later(() => {
        this.#confirmations.delete(reject)
        resolve()
      })
    })
  }

  close(): Promise<void> {
    this.#finish('closed')
    return Promise.resolve()
  }

  deliver(subject: string, bytes: Uint8Array): void {
    if (this.#frozen || this.#ended || !this.#subscriptions.has(subject)) return
    this.#later(() => {
      for (const received of this.#subscriptions.get(subject) ?? []) received(bytes)
    })
  }

  end(sentence: string): void {
    if (this.#ended) return
    this.#finish(sentence)
    this.#events.closed(sentence)
  }

  freeze(): void {
    this.#frozen = true
  }

  thaw(): void {
    this.#frozen = false
  }

  #finish(sentence: string): void {
    this.#ended = true
    if (this.#end.session === this) this.#end.session = null
    for (const reject of this.#confirmations) reject(new Error(sentence))
    this.#confirmations.clear()
  }

  /** In order of arrival, whatever the delays. */
  #later(run: () => void): void {
    const { runtime, delayMs } = this.#network
    const live = (): void => {
      if (!this.#ended) run()
    }
    const at = Math.max(this.#lastAt, runtime.uptime() + delayMs())
    this.#lastAt = at
    if (at <= runtime.uptime()) queueMicrotask(live)
    else runtime.setTimer(live, at - runtime.uptime())
  }
}
