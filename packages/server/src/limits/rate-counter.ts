const BUCKET_MS = 5000
const BUCKETS = 12

/**
 * Events a second, averaged over the last minute or, in a younger counter, over its life, in steps of five seconds.
 * The limit is reached as soon as the average at the end of the running step cannot be under it any more. So a burst
 * passes when it was quiet before, and a step that is too full is noticed at once, not at its end.
 *
 * Times are monotonic milliseconds, so that a clock that is set back or forth does nothing here.
 */
export class RateCounter {
  readonly #limit: number
  readonly #buckets: number[] = [0]
  #at = 0
  #endsAt: number
  #total = 0
  /** Follows from the limit and the number of buckets; kept, because every event is compared with it. */
  #threshold: number

  /** `perSecond` may be `Infinity`: then the limit is never reached. */
  constructor(perSecond: number, now: number) {
    this.#limit = perSecond
    this.#endsAt = now + BUCKET_MS
    this.#threshold = perSecond * this.#seconds()
  }

  /** Counts events. Returns whether the limit is reached with them. */
  add(now: number, events: number = 1): boolean {
    if (now >= this.#endsAt) this.#turn(now)
    this.#buckets[this.#at]! += events
    this.#total += events
    return this.#total >= this.#threshold
  }

  /** Whether the limit is reached. */
  exceeded(now: number): boolean {
    if (now >= this.#endsAt) this.#turn(now)
    return this.#total >= this.#threshold
  }

  /** The average, events a second. */
  perSecond(now: number): number {
    if (now >= this.#endsAt) this.#turn(now)
    return this.#total / this.#seconds()
  }

  #turn(now: number): void {
    const steps = Math.floor((now - this.#endsAt) / BUCKET_MS) + 1
    for (let i = Math.min(steps, BUCKETS); i > 0; i--) this.#nextBucket()
    this.#endsAt += steps * BUCKET_MS
    this.#threshold = this.#limit * this.#seconds()
  }

  #nextBucket(): void {
    this.#at = (this.#at + 1) % BUCKETS
    this.#total -= this.#buckets[this.#at] ?? 0
    this.#buckets[this.#at] = 0
  }

  #seconds(): number {
    return (this.#buckets.length * BUCKET_MS) / 1000
  }
}

/** Bounds the calls in a window that starts with the first of them. Small in memory, as every channel may have one. */
export class CallWindow {
  #endsAt = -Infinity
  #calls = 0

  /** Counts a call. Returns whether it is within the limit. `now`: monotonic milliseconds. */
  allows(now: number, maxCalls: number, windowMs: number): boolean {
    if (now >= this.#endsAt) {
      this.#endsAt = now + windowMs
      this.#calls = 0
    }
    return ++this.#calls <= maxCalls
  }
}
