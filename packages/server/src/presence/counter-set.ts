/** Positive whole numbers as sorted ranges that neither overlap nor touch: `[from, to, from, to, …]`, ends included. */
export type CounterRanges = readonly number[]

/**
 * A set of counters that stays small when the counters are dense: everything up to 1000 is one range. It is the causal
 * context of one replica; the first range plays the version vector, the others the cloud of counters that came out of order.
 */
export class CounterSet implements Iterable<number> {
  readonly #ranges: number[] = []

  constructor(ranges: CounterRanges = []) {
    this.addAll(ranges)
  }

  get size(): number {
    let size = 0
    for (const [from, to] of pairs(this.#ranges)) size += to - from + 1
    return size
  }

  get ranges(): CounterRanges {
    return [...this.#ranges]
  }

  *[Symbol.iterator](): IterableIterator<number> {
    for (const [from, to] of pairs(this.#ranges)) for (let counter = from; counter <= to; counter++) yield counter
  }

  has(counter: number): boolean {
    return this.#covers(counter, counter)
  }

  covers(ranges: CounterRanges): boolean {
    for (const [from, to] of pairs(ranges)) if (!this.#covers(from, to)) return false
    return true
  }

  add(from: number, to: number = from): void {
    // A range that ends right before `from` or starts right after `to` is joined with the new one.
    const first = this.#firstEndingAt(from - 1)
    let past = first
    let start = from
    let end = to
    for (; past < this.#ranges.length && this.#ranges[past]! <= to + 1; past += 2) {
      start = Math.min(start, this.#ranges[past]!)
      end = Math.max(end, this.#ranges[past + 1]!)
    }
    this.#ranges.splice(first, past - first, start, end)
  }

  addAll(ranges: CounterRanges): void {
    for (const [from, to] of pairs(ranges)) this.add(from, to)
  }

  /** The ranges that remain when some counters are left out. */
  without(counters: Iterable<number>): CounterRanges {
    const rest: number[] = []
    const holes = [...counters].sort((a, b) => a - b)
    let next = 0
    for (const [from, to] of pairs(this.#ranges)) {
      let start = from
      for (; next < holes.length && holes[next]! <= to; next++) {
        const hole = holes[next]!
        if (hole > start) rest.push(start, hole - 1)
        start = Math.max(start, hole + 1)
      }
      if (start <= to) rest.push(start, to)
    }
    return rest
  }

  #covers(from: number, to: number): boolean {
    const at = this.#firstEndingAt(from)
    return at < this.#ranges.length && this.#ranges[at]! <= from && to <= this.#ranges[at + 1]!
  }

  /** Where the first range starts that ends at `counter` or later. */
  #firstEndingAt(counter: number): number {
    let low = 0
    let high = this.#ranges.length / 2
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#ranges[middle * 2 + 1]! < counter) low = middle + 1
      else high = middle
    }
    return low * 2
  }
}

function* pairs(ranges: CounterRanges): IterableIterator<[from: number, to: number]> {
  for (let at = 0; at < ranges.length; at += 2) yield [ranges[at]!, ranges[at + 1]!]
}
