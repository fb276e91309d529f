import { Histogram } from '@tidewire/protocol'

/** One line of a histogram: how many values lay within each bound. Plain numbers, as it is filled for every message. */
export class Series {
  readonly labels: Readonly<Record<string, string>>
  readonly #histogram: Histogram

  constructor(bounds: readonly number[], labels: Readonly<Record<string, string>>) {
    this.#histogram = new Histogram(bounds)
    this.labels = labels
  }

  observe(value: number): void {
    this.#histogram.observe(value)
  }

  /** Lines in Prometheus' text format, whose counts are cumulative. */
  text(name: string): string[] {
    const { bounds, counts, size, sum } = this.#histogram
    let below = 0
    const buckets = bounds.map((bound, at) => `${name}_bucket${this.#labels({ le: String(bound) })} ${(below += counts[at]!)}`)
    const own = this.#labels({})
    return [...buckets, `${name}_bucket${this.#labels({ le: '+Inf' })} ${size}`, `${name}_sum${own} ${sum}`, `${name}_count${own} ${size}`]
  }

  #labels(first: Readonly<Record<string, string>>): string {
    const all = Object.entries({ ...first, ...this.labels })
    return all.length === 0 ? '' : `{${all.map(([label, value]) => `${label}="${value}"`).join(',')}}`
  }
}

/**
 * A histogram for hot paths. That of prom-client looks its labels up and builds a key for every value, which costs about
 * as much as fanning a small message out to one more subscriber. Label values must not come from clients: each is kept for ever.
 */
export class PlainHistogram {
  readonly #name: string
  readonly #help: string
  readonly #bounds: readonly number[]
  readonly #series: Series[] = []

  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name
    this.#help = help
    this.#bounds = bounds
  }

  series(labels: Readonly<Record<string, string>> = {}): Series {
    const series = new Series(this.#bounds, labels)
    this.#series.push(series)
    return series
  }

  text(): string {
    const head = [`# HELP ${this.#name} ${this.#help}`, `# TYPE ${this.#name} histogram`]
    return `${[...head, ...this.#series.flatMap((series) => series.text(this.#name))].join('\n')}\n`
  }
}
