import { Histogram, quantileOf, type LatencySummary } from '@tidewire/protocol'

/** Upper bounds of the classes, in milliseconds. */
const BOUNDS_MS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]

/** The durations of one interval. */
export class Latencies {
  #histogram = new Histogram(BOUNDS_MS)

  add(ms: number): void {
    this.#histogram.observe(ms)
  }

  /** The summary since the last call; `null`: nothing was counted. */
  take(): LatencySummary | null {
    const { counts, longest, size } = this.#histogram
    if (size === 0) return null
    this.#histogram = new Histogram(BOUNDS_MS)
    return summaryOf([...counts], longest)
  }
}

/** Merges the summaries of several processes for one interval; quantiles come from the classes. `null`: nothing was counted. */
export function mergedLatencies(all: readonly (LatencySummary | null)[]): LatencySummary | null {
  const counted = all.filter((each) => each !== null)
  if (counted.length <= 1) return counted[0] ?? null
  const counts = Array.from({ length: BOUNDS_MS.length + 1 }, (_, at) => counted.reduce((sum, each) => sum + (each.counts[at] ?? 0), 0))
  return summaryOf(counts)
}

function summaryOf(counts: readonly number[], longestMs?: number): LatencySummary {
  const histogram = { boundsMs: BOUNDS_MS, counts }
  return { p50: quantileOf(histogram, 0.5, longestMs), p95: quantileOf(histogram, 0.95, longestMs), ...histogram }
}
