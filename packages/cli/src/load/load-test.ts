import { randomBytes } from 'node:crypto'
import type { Target } from '../remote/target.ts'
import { failed, type Failure } from '../failure.ts'
import { LoadSocket } from './load-socket.ts'
import type { LoadPlan } from './plan.ts'
import { Tally } from './tally.ts'

/** The result of a load test. Times in milliseconds; latency is from sending a message (or from when it was due) to one delivery of it. */
export interface LoadResult {
  readonly connectMs: number
  readonly elapsedMs: number
  readonly messages: number
  readonly deliveries: number
  readonly deliveriesPerSecond: number
  readonly latencyMs: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null; readonly max: number | null }
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
  /** The share of its core that this process used: near 1 it is itself the limit. */
  readonly clientLoad: number
}

export interface LoadTestOptions {
  readonly target: Target
  readonly plan: LoadPlan
  readonly isPrivate: boolean
  readonly stop: Promise<unknown>
  /** Called now and then; shares from 0 to 1. */
  readonly connecting: (share: number, connections: number) => void
  readonly sending: (share: number, deliveries: number) => void
}

/** Connections that are opened at a time. */
const OPENING_AT_ONCE = 50
/** A server may bound the channels of one connection. */
const TOPICS_PER_SENDER = 50
const HEARTBEAT_MS = 25_000
const TICK_MS = 5
/** How long the last deliveries may take. */
const DRAIN_MS = 5_000
const MARK = '"tidewire_bench":"'
const SEQUENCE_DIGITS = 10

/** Runs a load test. Rejects with a Failure when the server refuses a connection or channel. */
export async function loadTest(options: LoadTestOptions): Promise<LoadResult> {
  const test = new LoadTest(options)
  try {
    return await test.run()
  } finally {
    test.close()
  }
}

class LoadTest {
  readonly #options: LoadTestOptions
  readonly #prefix = `tidewire-bench-${randomBytes(4).toString('hex')}`
  readonly #tally: Tally
  readonly #sockets: LoadSocket[] = []
  /** By topic. */
  readonly #senders: LoadSocket[] = []
  /** By topic and number of a message: when it was sent or due, and how many deliveries of it are missing. */
  readonly #sentAt: number[][]
  readonly #awaited: Map<number, number>[]
  #messages = 0
  #deliveries = 0
  #lastDeliveryAt = 0
  #isSending = false
  #fault: Failure | null = null
  #onFault: () => void = () => {}

  constructor(options: LoadTestOptions) {
    this.#options = options
    this.#tally = new Tally(options.plan.subscribers)
    this.#sentAt = Array.from({ length: options.plan.topics }, () => [0])
    this.#awaited = Array.from({ length: options.plan.topics }, () => new Map())
  }

  async run(): Promise<LoadResult> {
    const begun = performance.now()
    const stopped = this.#options.stop.then(() => 'stopped' as const)
    if ((await Promise.race([this.#gather(), stopped])) === 'stopped') throw failed('Stopped before all were connected.')
    const connectMs = performance.now() - begun
    const heartbeats = setInterval(() => {
      for (const socket of this.#sockets) socket.heartbeat()
    }, HEARTBEAT_MS)
    try {
      const cpu = process.cpuUsage()
      const startedAt = performance.now()
      await this.#send(startedAt, stopped)
      const elapsedMs = this.#lastDeliveryAt > startedAt ? this.#lastDeliveryAt - startedAt : performance.now() - startedAt
      const { user, system } = process.cpuUsage(cpu)
      if (this.#fault !== null) throw this.#fault
      return this.#result(connectMs, elapsedMs, (user + system) / 1000 / (performance.now() - startedAt))
    } finally {
      clearInterval(heartbeats)
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.close()
  }

  async #gather(): Promise<void> {
    const { target, plan, isPrivate, connecting } = this.#options
    const senders = Math.ceil(plan.topics / TOPICS_PER_SENDER)
    const all = plan.subscribers + senders
    let next = 0
    const open = async (index: number): Promise<void> => {
      const subscriber = index - senders
      const onMessage = subscriber < 0 ? (): void => {} : (frame: Buffer): void => this.#delivered(subscriber, frame)
      const socket = await LoadSocket.open(target, onMessage, (why) => this.#fail(why))
      this.#sockets.push(socket)
      if (subscriber >= 0) await socket.join(this.#topic(subscriber % plan.topics), isPrivate)
      else
        for (let topic = index; topic < plan.topics; topic += senders) {
          await socket.join(this.#topic(topic), isPrivate)
          this.#senders[topic] = socket
        }
      connecting(this.#sockets.length / all, this.#sockets.length)
    }
    const worker = async (): Promise<void> => {
      while (next < all && this.#fault === null) await open(next++)
    }
    await Promise.all(Array.from({ length: Math.min(OPENING_AT_ONCE, all) }, worker))
    if (this.#fault !== null) throw this.#fault
  }

  #topic(topic: number): string {
    return `${this.#prefix}-${topic}`
  }

  #fail(why: string): void {
    this.#fault ??= failed(`${this.#options.target.url} ended the test: ${why}.`)
    this.#onFault()
  }

  /** Sends until the plan is done or `stopped` resolves, then waits for the last deliveries. */
  async #send(startedAt: number, stopped: Promise<'stopped'>): Promise<void> {
    const { plan, target, sending } = this.#options
    this.#isSending = true
    this.#lastDeliveryAt = startedAt
    if (plan.pace.kind === 'closed') {
      for (let topic = 0; topic < plan.topics; topic++) for (let i = 0; i < plan.pace.inFlight; i++) this.#sendOne(topic, performance.now())
    }
    await new Promise<void>((resolve) => {
      let endsAt = Infinity
      const done = (): void => {
        clearInterval(ticks)
        resolve()
      }
      const tick = (): void => {
        const now = performance.now()
        const elapsed = now - startedAt
        if (this.#isSending && plan.pace.kind === 'rate') this.#sendDue(startedAt, elapsed, plan.pace.messagesPerSecond)
        // In a closed loop a lost message stops the loop, so it is also over when nothing comes any more.
        const isStuck = plan.pace.kind === 'closed' && now - this.#lastDeliveryAt > target.timeoutMs
        if (elapsed >= plan.durationMs || this.#messages >= plan.maxMessages || isStuck) this.#isSending = false
        if (!this.#isSending && endsAt === Infinity) endsAt = now + Math.min(DRAIN_MS, target.timeoutMs)
        sending(Math.max(elapsed / plan.durationMs, this.#messages / plan.maxMessages), this.#deliveries)
        if (!this.#isSending && (this.#deliveries >= this.#expected || now >= endsAt)) done()
      }
      const ticks = setInterval(tick, TICK_MS)
      this.#onFault = done
      if (this.#fault !== null) done()
      void stopped.then(() => (this.#isSending = false))
    })
  }

  #sendDue(startedAt: number, elapsed: number, perSecond: number): void {
    const { topics, durationMs, maxMessages } = this.#options.plan
    for (;;) {
      const dueMs = (this.#messages * 1000) / perSecond
      if (dueMs > elapsed || dueMs >= durationMs || this.#messages >= maxMessages) return
      this.#sendOne(this.#messages % topics, startedAt + dueMs)
    }
  }

  #sendOne(topic: number, at: number): void {
    const { plan } = this.#options
    if (!this.#isSending || this.#messages >= plan.maxMessages) return
    this.#messages++
    const sequence = this.#sentAt[topic]!.push(at) - 1
    this.#awaited[topic]!.set(sequence, this.#receiversOf(topic))
    const mark = `{${MARK}${String(sequence).padStart(SEQUENCE_DIGITS, '0')}"`
    const rest = plan.payloadBytes - mark.length - '}'.length
    const payload = rest < 7 ? `${mark}}` : `${mark},"p":"${'x'.repeat(rest - 7)}"}`
    this.#senders[topic]!.send(
      `["1","0","realtime:${this.#topic(topic)}","broadcast",{"type":"broadcast","event":"bench","payload":${payload}}]`,
    )
  }

  #delivered(subscriber: number, frame: Buffer): void {
    const at = frame.indexOf(MARK)
    if (at < 0) return
    const sequence = Number(frame.toString('latin1', at + MARK.length, at + MARK.length + SEQUENCE_DIGITS))
    const topic = subscriber % this.#options.plan.topics
    const sentAt = this.#sentAt[topic]![sequence]
    if (sentAt === undefined) return
    const now = performance.now()
    if (!this.#tally.saw(subscriber, sequence, now - sentAt)) return
    this.#lastDeliveryAt = now
    this.#deliveries++
    const left = this.#awaited[topic]!.get(sequence)! - 1
    if (left > 0) return void this.#awaited[topic]!.set(sequence, left)
    this.#awaited[topic]!.delete(sequence)
    if (this.#options.plan.pace.kind === 'closed') this.#sendOne(topic, now)
  }

  #receiversOf(topic: number): number {
    const { subscribers, topics } = this.#options.plan
    return Math.floor(subscribers / topics) + (topic < subscribers % topics ? 1 : 0)
  }

  get #expected(): number {
    return this.#sentAt.reduce((sum, sent, topic) => sum + (sent.length - 1) * this.#receiversOf(topic), 0)
  }

  #result(connectMs: number, elapsedMs: number, clientLoad: number): LoadResult {
    const tally = this.#tally
    return {
      connectMs: Math.round(connectMs),
      elapsedMs: Math.round(elapsedMs),
      messages: this.#messages,
      deliveries: tally.deliveries,
      deliveriesPerSecond: Math.round((tally.deliveries * 1000) / Math.max(1, elapsedMs)),
      latencyMs: {
        p50: tally.latencyMs(0.5),
        p95: tally.latencyMs(0.95),
        p99: tally.latencyMs(0.99),
        max: tally.deliveries === 0 ? null : tally.maxMs,
      },
      lost: this.#expected - tally.deliveries,
      duplicated: tally.duplicated,
      reordered: tally.reordered,
      clientLoad: Math.min(1, clientLoad),
    }
  }
}
