/** Latencies in steps of 2 %, from a hundredth of a millisecond to beyond ten minutes. */
const STEP = Math.log(1.02)
const LEAST_MS = 0.01
const STEPS = 900

const WINDOW = 4_096

/** How messages came: every subscriber gets 1, 2, 3 … of its topic, each once and in order. */
export class Tally {
  deliveries = 0
  duplicated = 0
  reordered = 0
  readonly #last: Int32Array
  /** The messages that each subscriber has had, as bits: of the last few thousand, by the lower bits of their number. */
  readonly #missing = new Map<number, Set<number>>()
  readonly #latencies = new Float64Array(STEPS)
  #maxMs = 0

  constructor(subscribers: number) {
    this.#last = new Int32Array(subscribers)
  }

  /** A message came after so many milliseconds. False for one that had come before. */
  saw(subscriber: number, sequence: number, ms: number): boolean {
    const last = this.#last[subscriber]!
    if (sequence <= last && !this.#late(subscriber, sequence)) {
      this.duplicated++
      return false
    }
    if (sequence > last) {
      if (sequence > last + 1) this.#skip(subscriber, last + 1, sequence)
      this.#last[subscriber] = sequence
    }
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

  get maxMs(): number {
    return this.#maxMs
  }

  #skip(subscriber: number, from: number, to: number): void {
    let missing = this.#missing.get(subscriber)
    if (missing === undefined) this.#missing.set(subscriber, (missing = new Set()))
    for (let sequence = Math.max(from, to - WINDOW); sequence < to; sequence++) missing.add(sequence)
  }

  #late(subscriber: number, sequence: number): boolean {
    if (this.#missing.get(subscriber)?.delete(sequence) !== true) return false
    this.reordered++
    return true
  }
}
