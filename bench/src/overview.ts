import { BASELINE } from './contestants.ts'
import { count, table } from './report.ts'
import type { RunResult } from './run.ts'
import type { Scenario } from './scenario.ts'
import { median } from './statistics.ts'

/** All scenarios and servers in one table: medians of the rounds, ratios within each round. */
export function overview(scenarios: readonly Scenario[], results: readonly RunResult[]): string[] {
  const servers = [...new Set(results.map(({ server }) => server))]
  const rows = scenarios.flatMap((scenario) =>
    servers.map((server) => {
      const of = (name: string): RunResult[] => results.filter((result) => result.scenario === scenario.name && result.server === name)
      return [scenario.title, server, ...cells(of(server), of(BASELINE))]
    }),
  )
  return table(
    [
      'scenario',
      'server',
      'deliveries/s',
      `to ${BASELINE}`,
      'CPU µs/delivery',
      `${BASELINE}'s CPU to it`,
      'p50 / p99 ms',
      'bytes/connection',
      'lost/dup/reordered',
    ],
    rows,
  )
}

function cells(runs: readonly RunResult[], baseline: readonly RunResult[]): string[] {
  const loads = runs.flatMap((run) => (run.kind === 'load' ? [run] : []))
  if (loads.length === 0) {
    const bytes = runs.flatMap((run) => (run.kind === 'idle' ? [run.bytesPerConnection] : []))
    return ['', '', '', '', '', count(median(bytes)), '']
  }
  const ratio = (of: (run: (typeof loads)[number], other: (typeof loads)[number]) => number): string =>
    median(
      loads.flatMap((run) => {
        const other = baseline.find(({ round }) => round === run.round)
        return other?.kind === 'load' ? [of(run, other)] : []
      }),
    ).toFixed(2)
  const latencies = loads.flatMap(({ latency }) => (latency === null ? [] : [latency]))
  const middle = (values: readonly number[]): string => median(values).toFixed(2)
  const sum = (kind: 'lost' | 'duplicated' | 'reordered'): number => loads.reduce((total, { faults }) => total + faults[kind], 0)
  return [
    count(median(loads.map((run) => run.deliveriesPerSecond))),
    // At a fixed rate all deliver the same.
    latencies.length > 0 ? '' : ratio((run, other) => run.deliveriesPerSecond / other.deliveriesPerSecond),
    median(loads.map((run) => run.cpuMicrosPerDelivery)).toFixed(3),
    ratio((run, other) => other.cpuMicrosPerDelivery / run.cpuMicrosPerDelivery),
    latencies.length === 0 ? '' : `${middle(latencies.map(({ p50 }) => p50))} / ${middle(latencies.map(({ p99 }) => p99))}`,
    '',
    `${sum('lost')}/${sum('duplicated')}/${sum('reordered')}`,
  ]
}
