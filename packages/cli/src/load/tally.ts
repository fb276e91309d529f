import { OrderCheck } from './order-check.ts'

/** Latencies in steps of 2 %, from a hundredth of a millisecond to beyond ten minutes. */
const STEP = Math.log(1.02)
const LEAST_MS = 0.01
const STEPS = 900

/** How messages came: in which order, and how long after they were sent. */
export class Tally {
  deliveries = 0
  readonly #order: OrderCheck
  readonly #latencies = new Float64Array(STEPS)
  #maxMs = 0

  constructor(subscribers: number) {
    this.#order = new OrderCheck(subscribers)
  }

  /** Counts a message that came after `ms` milliseconds. Returns `false` for one that had come before. */
  saw(subscriber: number, sequence: number, ms: number): boolean {
    if (!this.#order.saw(subscriber, sequence)) return false
    this.deliveries++
    this.#latencies[Math.min(STEPS - 1, Math.max(0, Math.ceil(Math.log(ms / LEAST_MS) / STEP)))]!++
    if (ms > this.#maxMs) this.#maxMs = ms
    return true
  }

  /** Milliseconds within which a share of the messages came; within 2 % above the true value. `null` when none came. */
  latencyMs(share: number): number | null {
    let left = this.deliveries * share
    if (left === 0) return null
    for (let step = 0; step < STEPS; step++) {
      left -= this.#latencies[step]!
      if (left <= 0) return Math.min(this.#maxMs, LEAST_MS * Math.exp(step * STEP))
    }
    return this.#maxMs
  }

  get duplicated(): number {
    return this.#order.faults.duplicated
  }

  get reordered(): number {
    return this.#order.faults.reordered
  }

  get maxMs(): number {
    return this.#maxMs
  }
}
