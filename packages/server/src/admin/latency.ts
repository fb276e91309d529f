import { quantileOf, type LatencySummary } from '@tidewire/protocol'

/** Upper bounds of the classes, in milliseconds. */
const BOUNDS_MS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]

/** A histogram of the durations of one interval: counting is cheap, and memory does not grow. */
export class Latencies {
  #counts: number[] = noCounts()
  #size = 0
  #longest = 0

  add(ms: number): void {
    let at = 0
    while (at < BOUNDS_MS.length && ms > BOUNDS_MS[at]!) at++
    this.#counts[at]!++
    this.#size++
    if (ms > this.#longest) this.#longest = ms
  }

  /** The summary since the last call; `null`: nothing was counted. */
  take(): LatencySummary | null {
    if (this.#size === 0) return null
    const summary = summaryOf(this.#counts, this.#longest)
    this.#counts = noCounts()
    this.#size = 0
    this.#longest = 0
    return summary
  }
}

function noCounts(): number[] {
  return Array.from({ length: BOUNDS_MS.length + 1 }, () => 0)
}

/** Merges the summaries of several processes for one interval; quantiles come from the classes. `null`: nothing was counted. */
export function mergedLatencies(all: readonly (LatencySummary | null)[]): LatencySummary | null {
  const counted = all.filter((each) => each !== null)
  if (counted.length <= 1) return counted[0] ?? null
  const counts = noCounts().map((_, at) => counted.reduce((sum, each) => sum + (each.counts[at] ?? 0), 0))
  return summaryOf(counts)
}

function summaryOf(counts: readonly number[], longestMs?: number): LatencySummary {
  const histogram = { boundsMs: BOUNDS_MS, counts }
  return { p50: quantileOf(histogram, 0.5, longestMs), p95: quantileOf(histogram, 0.95, longestMs), ...histogram }
}
