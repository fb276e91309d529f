/** What several processes behind one port cost and give: CPU of all of them per delivery, and deliveries a second. */
import type { Contestant } from './contestants.ts'
import { decimals, table } from './report.ts'
import { runOnce, type RunResult } from './run.ts'
import type { Scenario } from './scenario.ts'
import { median } from './statistics.ts'

/** Scenarios that are measured where none are named. */
export const workersScenarios: readonly string[] = ['1x1000-1', '1x100-8', '1x1000-32']

const COUNTS: readonly number[] = [1, 2]

export interface WorkersOptions {
  readonly scenarios: readonly Scenario[]
  readonly rounds: number
  readonly warmUpMs: number
  readonly measureMs: number
}

export interface WorkersSample {
  readonly workers: number
  readonly result: RunResult
}

export async function benchWorkers({ scenarios, rounds, warmUpMs, measureMs }: WorkersOptions): Promise<readonly WorkersSample[]> {
  const samples: WorkersSample[] = []
  for (let round = 0; round < rounds; round++)
    for (const scenario of scenarios)
      for (const workers of round % 2 === 0 ? COUNTS : COUNTS.toReversed()) {
        process.env['BENCH_WORKERS'] = String(workers)
        const contestant: Contestant = { name: `${workers} workers`, dialect: 'phoenix', file: './servers/tidewire-workers.ts' }
        const result = await runOnce(contestant, scenario, round, { warmUpMs, measureMs, serverCore: null, generatorCore: null })
        const sample = { workers, result }
        samples.push(sample)
        console.error(`round ${round + 1}  ${rowOf(scenario.name, [sample]).join('  ')}`)
      }
  return samples
}

export function workersTable(scenarios: readonly Scenario[], samples: readonly WorkersSample[]): readonly string[] {
  const head = ['', 'workers', 'CPU µs per delivery', 'deliveries/s', 'cores used', 'cores of the generator', 'p50 ms', 'p99 ms', 'lost']
  return table(
    head,
    scenarios.flatMap(({ name }) =>
      COUNTS.map((workers) =>
        rowOf(
          name,
          samples.filter((each) => each.workers === workers && each.result.scenario === name),
        ),
      ),
    ),
  )
}

function rowOf(scenario: string, samples: readonly WorkersSample[]): string[] {
  const loads = samples.map(({ result }) => result).filter((result) => result.kind === 'load')
  const of = (read: (load: (typeof loads)[number]) => number | null | undefined, digits: number): string => {
    const values = loads.map(read).filter((value) => typeof value === 'number')
    return decimals(values.length === 0 ? null : median(values), digits)
  }
  return [
    scenario,
    String(samples[0]?.workers ?? ''),
    of(({ cpuMicrosPerDelivery }) => cpuMicrosPerDelivery, 2),
    of(({ deliveriesPerSecond }) => deliveriesPerSecond, 0),
    of(({ serverLoad }) => serverLoad, 2),
    of(({ generatorLoad }) => generatorLoad, 2),
    of(({ latency }) => latency?.p50, 2),
    of(({ latency }) => latency?.p99, 2),
    String(loads.reduce((sum, { faults }) => sum + faults.lost, 0)),
  ]
}
