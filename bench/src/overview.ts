import { BASELINE, type Contestant } from './contestants.ts'
import { count, decimals, NOTHING, table } from './report.ts'
import type { LoadResult, RunResult } from './run.ts'
import type { Scenario } from './scenario.ts'
import { median, medianOf, quotient } from './statistics.ts'

/** All scenarios and servers in one table: medians of the rounds, ratios within each round. */
export function overview(
  servers: readonly Pick<Contestant, 'name'>[],
  scenarios: readonly Scenario[],
  results: readonly RunResult[],
): string[] {
  const rows = scenarios.flatMap((scenario) =>
    servers.flatMap(({ name }) => {
      const of = (server: string): RunResult[] => results.filter((result) => result.scenario === scenario.name && result.server === server)
      const runs = of(name)
      return runs.length === 0 ? [] : [[scenario.title, name, ...cells(runs, of(BASELINE))]]
    }),
  )
  const head = [
    ...['scenario', 'server', 'deliveries/s', `to ${BASELINE}`, 'CPU µs/delivery', `${BASELINE}'s CPU to it`],
    ...['p50 / p99 ms', 'bytes/connection', 'lost/dup/reordered'],
  ]
  // The first two columns are words.
  return table(head, rows).map((line, at) => (at === 1 ? line.replace('| ---: |', '| --- |') : line))
}

function cells(runs: readonly RunResult[], baseline: readonly RunResult[]): string[] {
  const loads = runs.flatMap((run) => (run.kind === 'load' ? [run] : []))
  if (loads.length === 0) {
    const bytes = runs.flatMap((run) => (run.kind === 'idle' ? [run.bytesPerConnection] : []))
    if (bytes.length === 0) return [...Array.from({ length: 6 }, () => NOTHING), 'refused, see below']
    return [...Array.from({ length: 5 }, () => NOTHING), count(median(bytes)), NOTHING]
  }
  const ratio = (of: (run: LoadResult, other: LoadResult) => number | null): string => {
    const ratios = loads.flatMap((run) => {
      const other = baseline.find(({ round }) => round === run.round)
      return other?.kind === 'load' ? [of(run, other)] : []
    })
    return decimals(medianOf(ratios), 2)
  }
  const latencies = loads.flatMap(({ latency }) => (latency === null ? [] : [latency]))
  const middle = (values: readonly number[]): string => median(values).toFixed(2)
  const sum = (kind: 'lost' | 'duplicated' | 'reordered'): number => loads.reduce((total, { faults }) => total + faults[kind], 0)
  return [
    count(median(loads.map((run) => run.deliveriesPerSecond))),
    // At a fixed rate all deliver the same.
    latencies.length > 0 ? NOTHING : ratio((run, other) => run.deliveriesPerSecond / other.deliveriesPerSecond),
    decimals(medianOf(loads.map((run) => run.cpuMicrosPerDelivery)), 3),
    ratio((run, other) => quotient(other.cpuMicrosPerDelivery, run.cpuMicrosPerDelivery)),
    latencies.length === 0 ? NOTHING : `${middle(latencies.map(({ p50 }) => p50))} / ${middle(latencies.map(({ p99 }) => p99))}`,
    NOTHING,
    `${sum('lost')}/${sum('duplicated')}/${sum('reordered')}`,
  ]
}
