/** How many of the last numbers are checked for late ones. Bounds the memory where a server sends any number. */
const WINDOW = 4_096

/** Messages that did not come as they were sent. */
export interface Faults {
  lost: number
  duplicated: number
  reordered: number
}

/**
 * Follows the sequence numbers of every subscriber: each gets 1, 2, 3 … of its topic. A number that is skipped counts as
 * lost until it comes after all, and then as reordered.
 */
export class OrderCheck {
  readonly faults: Faults = { lost: 0, duplicated: 0, reordered: 0 }
  readonly #last: Int32Array
  readonly #skipped = new Map<number, Set<number>>()

  constructor(subscribers: number) {
    this.#last = new Int32Array(subscribers)
  }

  /** False for a message that had come before. */
  saw(subscriber: number, sequence: number): boolean {
    if (sequence === this.#last[subscriber]! + 1) {
      this.#last[subscriber] = sequence
      return true
    }
    return this.#irregular(subscriber, sequence)
  }

  /** To be called at the end, when `sent` messages should have come. */
  end(subscriber: number, sent: number): void {
    this.faults.lost += Math.max(0, sent - this.#last[subscriber]!)
  }

  #irregular(subscriber: number, sequence: number): boolean {
    const last = this.#last[subscriber]!
    let skipped = this.#skipped.get(subscriber)
    if (sequence > last) {
      if (skipped === undefined) this.#skipped.set(subscriber, (skipped = new Set()))
      for (let missing = Math.max(last + 1, sequence - WINDOW); missing < sequence; missing++) skipped.add(missing)
      this.faults.lost += sequence - last - 1
      this.#last[subscriber] = sequence
      return true
    }
    if (skipped?.delete(sequence) === true) {
      this.faults.lost--
      this.faults.reordered++
      return true
    }
    this.faults.duplicated++
    return false
  }
}
