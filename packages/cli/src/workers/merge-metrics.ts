/** Merges the metrics of several workers into those of one server, in the text format of Prometheus. */

/** Samples by name and labels, as they are written. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly samples: ReadonlyMap<string, number>
}

export type Metrics = ReadonlyMap<string, Family>

/** Metrics of a process, whose sum would mean nothing: each worker keeps a line of its own. */
const OF_A_PROCESS = /^(process|nodejs)_/
/** Metrics of which the highest counts: every worker sees the same, or the worst matters. */
const HIGHEST: ReadonlySet<string> = new Set([
  'tidewire_degraded',
  'tidewire_feed_lag_bytes',
  'tidewire_slot_retained_bytes',
  'tidewire_node_info',
])
const LOWEST: ReadonlySet<string> = new Set([
  'tidewire_feed_ready',
  'tidewire_feed_window_seconds',
  'tidewire_feed_window_bytes',
  'tidewire_relay_up',
  'tidewire_peers',
])

export function parseMetrics(text: string): Metrics {
  const families = new Map<string, { name: string; help: string; type: string; samples: Map<string, number> }>()
  let current: { name: string; help: string; type: string; samples: Map<string, number> } | undefined
  for (const line of text.split('\n')) {
    const [, word, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? []
    if (word !== undefined) {
      current = families.get(name) ?? { name, help: '', type: 'untyped', samples: new Map() }
      families.set(name, current)
      if (word === 'HELP') current.help = rest
      else current.type = rest
      continue
    }
    const end = line.lastIndexOf(' ')
    if (end > 0 && current !== undefined) current.samples.set(line.slice(0, end), Number(line.slice(end + 1)))
  }
  return families
}

export function formatMetrics(metrics: Metrics): string {
  return Array.from(
    metrics.values(),
    ({ name, help, type, samples }) =>
      `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${Array.from(samples, ([sample, value]) => `${sample} ${formatValue(value)}\n`).join('')}\n`,
  ).join('')
}

/** `worker` names each in the lines of its process; `null`: the counters of workers that ended. */
export function mergeMetrics(all: readonly { readonly worker: string | null; readonly metrics: Metrics }[]): Metrics {
  const merged = new Map<string, { name: string; help: string; type: string; samples: Map<string, number> }>()
  for (const { worker, metrics } of all)
    for (const family of metrics.values()) {
      let into = merged.get(family.name)
      if (into === undefined) merged.set(family.name, (into = { ...family, samples: new Map() }))
      const ofProcess = OF_A_PROCESS.test(family.name)
      for (const [sample, value] of family.samples) {
        if (ofProcess && worker === null) continue
        const key = ofProcess ? withLabel(sample, 'worker', worker!) : sample
        const present = into.samples.get(key)
        into.samples.set(key, present === undefined ? value : joined(family.name, present, value))
      }
    }
  return merged
}

/** The counters, to be kept when a worker ends: without them the sum would fall, and rates would be wrong. */
export function countersOf(metrics: Metrics): Metrics {
  return new Map([...metrics].filter(([name, { type }]) => (type === 'counter' || type === 'histogram') && !OF_A_PROCESS.test(name)))
}

function joined(name: string, one: number, other: number): number {
  if (HIGHEST.has(name)) return Math.max(one, other)
  if (LOWEST.has(name)) return Math.min(one, other)
  return one + other
}

function withLabel(sample: string, label: string, value: string): string {
  const own = `${label}="${value}"`
  return sample.endsWith('}') ? `${sample.slice(0, -1)}${sample.endsWith('{}') ? '' : ','}${own}}` : `${sample}{${own}}`
}

function formatValue(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  return value === Infinity ? '+Inf' : value === -Infinity ? '-Inf' : String(value)
}
