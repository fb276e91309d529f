import { computed, signal, type ReadonlySignal, type Signal } from '@preact/signals'
import { quantileOf, type AdminTick, type LatencySummary } from '@tidewire/protocol'

/** Ten minutes of ticks, two a second. */
const MOST_TICKS = 1_200
/** A latency of the top bar is of so many of the last ticks: ten seconds. */
const RECENT_TICKS = 20

export type Measure = 'fanOut' | 'insertToFrame'

/** A histogram over several ticks. */
export interface Histogram {
  readonly boundsMs: readonly number[]
  /** One more than bounds: the last are above all of them. */
  readonly counts: readonly number[]
  readonly total: number
}

/** Columns of a chart over time: seconds since 1970, then the values; `null` where nothing was measured. */
export interface TimeLine {
  readonly at: number[]
  readonly p50: (number | null)[]
  readonly p95: (number | null)[]
}

/** The server's own measurements of the last ten minutes. */
export class Figures {
  readonly #ticks: Signal<readonly AdminTick[]> = signal([])

  readonly last: ReadonlySignal<AdminTick | null> = computed(() => this.#ticks.value.at(-1) ?? null)

  /** The fan-out times of the last ten seconds; `null` when nothing was delivered in them. */
  readonly recentFanOut: ReadonlySignal<LatencySummary | null> = computed(() => {
    const histogram = merge(this.#ticks.value.slice(-RECENT_TICKS).map(({ fanOut }) => fanOut))
    if (histogram === null) return null
    return { ...histogram, p50: quantileOf(histogram, 0.5), p95: quantileOf(histogram, 0.95) }
  })

  add(tick: AdminTick): void {
    // Only figures are kept for long, not the lists that came with them.
    this.#ticks.value = [...this.#ticks.value.slice(1 - MOST_TICKS), { ...tick, topics: [], connectionsChanged: [] }]
  }

  histogram(measure: Measure): Histogram | null {
    return merge(this.#ticks.value.map((tick) => tick[measure]))
  }

  timeLine(measure: Measure): TimeLine {
    const ticks = this.#ticks.value
    return {
      at: ticks.map(({ at }) => at / 1_000),
      p50: ticks.map((tick) => tick[measure]?.p50 ?? null),
      p95: ticks.map((tick) => tick[measure]?.p95 ?? null),
    }
  }
}

function merge(summaries: readonly (LatencySummary | null)[]): Histogram | null {
  const measured = summaries.filter((each) => each !== null)
  const last = measured.at(-1)
  if (last === undefined) return null
  const counts = Array.from({ length: last.boundsMs.length + 1 }, () => 0)
  // A restarted server may have other bounds; values measured under those are left out.
  for (const { boundsMs, counts: more } of measured)
    if (boundsMs.length === last.boundsMs.length) for (const [index, value] of more.entries()) counts[index]! += value
  const total = counts.reduce((sum, value) => sum + value, 0)
  return total === 0 ? null : { boundsMs: last.boundsMs, counts, total }
}
