import type { Publisher } from './load-sockets.ts'
import { OrderCheck, type Faults } from '../../../packages/cli/src/load/order-check.ts'

export interface RateShape {
  readonly topics: number
  readonly subscribersPerTopic: number
  readonly messagesPerSecond: number
}

/** Sends at a rate and measures how long after its due time each message is with each subscriber. */
export class OpenLoop {
  readonly #shape: RateShape
  readonly #order: OrderCheck
  /** When message n was due, in milliseconds; topics take turns. */
  readonly #due: number[] = []
  readonly #sent: Int32Array
  #latencies: number[] = []
  #running = false
  #deliveries = 0

  constructor(shape: RateShape) {
    this.#shape = shape
    this.#order = new OrderCheck(shape.topics * shape.subscribersPerTopic)
    this.#sent = new Int32Array(shape.topics)
  }

  get deliveries(): number {
    return this.#deliveries
  }

  get faults(): Readonly<Faults> {
    return this.#order.faults
  }

  /** The latencies since the last call, in milliseconds. */
  takeLatencies(): number[] {
    const taken = this.#latencies
    this.#latencies = []
    return taken
  }

  start(publishers: readonly Publisher[]): void {
    this.#running = true
    const startedAt = performance.now()
    // The loop spins: a timer's millisecond would be as long as what is measured.
    const turn = (): void => {
      const now = performance.now()
      for (;;) {
        const dueAt = startedAt + (this.#due.length * 1000) / this.#shape.messagesPerSecond
        if (!this.#running || dueAt > now) break
        this.#send(publishers, dueAt)
      }
      if (this.#running) setImmediate(turn)
    }
    turn()
  }

  delivered(subscriber: number, sequence: number): void {
    this.#deliveries++
    if (!this.#order.saw(subscriber, sequence)) return
    const { topics } = this.#shape
    const message = (sequence - 1) * topics + (subscriber % topics)
    this.#latencies.push(performance.now() - this.#due[message]!)
  }

  async stop(timeoutMs: number): Promise<void> {
    this.#running = false
    const { topics, subscribersPerTopic } = this.#shape
    const deadline = performance.now() + timeoutMs
    const all = this.#due.length * subscribersPerTopic
    while (this.#deliveries < all && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5))
    for (let subscriber = 0; subscriber < topics * subscribersPerTopic; subscriber++)
      this.#order.end(subscriber, this.#sent[subscriber % topics]!)
  }

  #send(publishers: readonly Publisher[], dueAt: number): void {
    const topic = this.#due.length % this.#shape.topics
    this.#due.push(dueAt)
    const { socket, template } = publishers[topic]!
    socket.write(template.with(++this.#sent[topic]!))
  }
}
