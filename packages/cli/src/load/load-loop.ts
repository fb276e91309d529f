import { Latencies } from './latencies.ts'
import { OrderCheck, type Faults } from './order-check.ts'
import type { LoadPlan } from './plan.ts'

export interface LoopPlan extends Pick<LoadPlan, 'topics' | 'subscribers' | 'durationMs' | 'maxMessages' | 'pace'> {
  /** How long a server may deliver nothing before a closed loop gives up. */
  readonly timeoutMs: number
}

/** Sends a message of a topic. Each topic counts its own, from 1. */
export type Publish = (topic: number, sequence: number) => void

interface Topic {
  readonly subscribers: number
  /** By number of a message: when it was sent or due, and how many deliveries of it are missing. */
  readonly sentAt: number[]
  readonly missing: number[]
}

/** How long the last deliveries may take. */
const DRAIN_MS = 5_000

/**
 * Decides when a message is sent, and counts what comes of it. Subscriber `s` is on topic `s % topics`. Knows no clock: its owner says the
 * time, in milliseconds.
 */
export class LoadLoop {
  readonly #plan: LoopPlan
  readonly #publish: Publish
  readonly #topics: readonly Topic[]
  readonly #order: OrderCheck
  #latencies = new Latencies()
  #isSending = false
  #startedAt = 0
  #lastDeliveryAt = 0
  #endsAt = Infinity
  #messages = 0
  #deliveries = 0
  #expected = 0

  constructor(plan: LoopPlan, publish: Publish) {
    this.#plan = plan
    this.#publish = publish
    this.#order = new OrderCheck(plan.subscribers)
    this.#topics = Array.from({ length: plan.topics }, (_, topic) => ({
      subscribers: Math.ceil((plan.subscribers - topic) / plan.topics),
      sentAt: [0],
      missing: [0],
    }))
  }

  get messages(): number {
    return this.#messages
  }

  /** Without those that had come before. */
  get deliveries(): number {
    return this.#deliveries
  }

  get lastDeliveryAt(): number {
    return this.#lastDeliveryAt
  }

  get latencies(): Latencies {
    return this.#latencies
  }

  /** Complete when the loop has ended. */
  get faults(): Readonly<Faults> {
    return this.#order.faults
  }

  /** How much of the plan is done. */
  shareAt(at: number): number {
    return Math.max((at - this.#startedAt) / this.#plan.durationMs, this.#messages / this.#plan.maxMessages)
  }

  start(at: number): void {
    const { pace, topics } = this.#plan
    this.#startedAt = this.#lastDeliveryAt = at
    this.#isSending = true
    if (pace.kind === 'closed') for (let topic = 0; topic < topics; topic++) for (let i = 0; i < pace.inFlight; i++) this.#send(topic, at)
  }

  /** To be called until it returns true: all that was sent has come, or does not come any more. Sends what is due. */
  tick(at: number): boolean {
    const { pace, timeoutMs } = this.#plan
    if (pace.kind === 'rate') this.#sendDue(at - this.#startedAt, pace.messagesPerSecond)
    // A closed loop stands still when it waits for messages that are lost.
    const isStuck = pace.kind === 'closed' && at - this.#lastDeliveryAt > timeoutMs
    if (this.shareAt(at) >= 1 || isStuck) this.stop()
    if (this.#isSending) return false
    this.#endsAt = Math.min(this.#endsAt, at + Math.min(DRAIN_MS, timeoutMs))
    if (this.#deliveries < this.#expected && at < this.#endsAt) return false
    for (let subscriber = 0; subscriber < this.#plan.subscribers; subscriber++)
      this.#order.end(subscriber, this.#topicOf(subscriber).sentAt.length - 1)
    return true
  }

  /** Nothing more is sent. */
  stop(): void {
    this.#isSending = false
  }

  /** Latencies are counted from here on. */
  forgetLatencies(): void {
    this.#latencies = new Latencies()
  }

  delivered(subscriber: number, sequence: number, at: number): void {
    const topic = this.#topicOf(subscriber)
    const sentAt = topic.sentAt[sequence]
    if (sentAt === undefined || !this.#order.saw(subscriber, sequence)) return
    this.#lastDeliveryAt = at
    this.#deliveries++
    this.#latencies.add(at - sentAt)
    if (--topic.missing[sequence]! === 0 && this.#plan.pace.kind === 'closed') this.#send(subscriber % this.#topics.length, at)
  }

  #topicOf(subscriber: number): Topic {
    return this.#topics[subscriber % this.#topics.length]!
  }

  get #maySend(): boolean {
    return this.#isSending && this.#messages < this.#plan.maxMessages
  }

  /** Topics take turns. */
  #sendDue(elapsedMs: number, perSecond: number): void {
    while (this.#maySend) {
      const dueMs = (this.#messages * 1000) / perSecond
      if (dueMs > elapsedMs || dueMs >= this.#plan.durationMs) return
      this.#send(this.#messages % this.#topics.length, this.#startedAt + dueMs)
    }
  }

  #send(topic: number, at: number): void {
    if (!this.#maySend) return
    const { subscribers, sentAt, missing } = this.#topics[topic]!
    this.#messages++
    this.#expected += subscribers
    missing.push(subscribers)
    this.#publish(topic, sentAt.push(at) - 1)
  }
}
