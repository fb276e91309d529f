import type { LatencySummary } from './admin.ts'

/** Counts values by classes: observing one is cheap, and memory does not grow. */
export class Histogram {
  /** Upper bounds of the classes, ascending. What is above all of them has a class of its own. */
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum = 0
  longest = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  /** How many values were observed. */
  get size(): number {
    return this.counts.reduce((sum, count) => sum + count, 0)
  }

  observe(value: number): void {
    let at = 0
    let end = this.bounds.length
    while (at < end) {
      const middle = (at + end) >>> 1
      if (value > this.bounds[middle]!) at = middle + 1
      else end = middle
    }
    this.counts[at]!++
    this.sum += value
    if (value > this.longest) this.longest = value
  }
}

/**
 * The value below which this share of a histogram lies, interpolated within its class. `longestMs` bounds the class above all
 * bounds, which otherwise counts as its lower bound.
 */
export function quantileOf(
  { boundsMs, counts }: Pick<LatencySummary, 'boundsMs' | 'counts'>,
  share: number,
  longestMs: number = boundsMs.at(-1) ?? 0,
): number {
  const rank = share * counts.reduce((sum, count) => sum + count, 0)
  let below = 0
  for (const [at, count] of counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const lower = boundsMs[at - 1] ?? 0
      const upper = Math.max(lower, Math.min(longestMs, boundsMs[at] ?? Infinity))
      return lower + ((rank - below) / count) * (upper - lower)
    }
    below += count
  }
  return boundsMs.at(-1) ?? 0
}
