/** What an inspector that looks on costs the server: with one and without, in turns. */
import type { Contestant } from './contestants.ts'
import { runOnce, type RunOptions, type RunResult } from './run.ts'
import type { Scenario } from './scenario.ts'
import { median } from './statistics.ts'

const SIDES: readonly Contestant[] = [
  { name: 'alone', file: './servers/tidewire.ts', dialect: 'phoenix' },
  { name: 'watched', file: './servers/tidewire-watched.ts', dialect: 'phoenix' },
]

/** Scenarios that are measured where none are named. */
export const watchedScenarios: readonly string[] = ['1x100-8', '1x1000-1']

type Load = Extract<RunResult, { kind: 'load' }>

export interface WatchedOptions {
  readonly scenarios: readonly Scenario[]
  readonly rounds: number
  readonly run: RunOptions
}

/** A markdown table; ratios are medians of those within a round. */
export async function benchWatched({
  scenarios,
  rounds,
  run,
}: WatchedOptions): Promise<{ readonly table: string; readonly results: readonly RunResult[] }> {
  const results: Load[] = []
  for (let round = 0; round < rounds; round++)
    for (const scenario of scenarios)
      for (let turn = 0; turn < SIDES.length; turn++) {
        const result = await runOnce(SIDES[(turn + round) % SIDES.length]!, scenario, round, run)
        if (result.kind !== 'load') throw new Error(`${scenario.name} is no load that can be watched`)
        results.push(result)
        console.error(
          `round ${round + 1}  ${scenario.name.padEnd(10)} ${result.server.padEnd(8)} ${Math.round(result.deliveriesPerSecond)}/s, ${result.cpuMicrosPerDelivery?.toFixed(3) ?? '?'} µs each`,
        )
      }
  const rows = scenarios.map((scenario) =>
    rowOf(
      scenario,
      results.filter((result) => result.scenario === scenario.name),
    ),
  )
  const head =
    '| scenario | deliveries/s alone | watched | ratio | CPU µs per delivery alone | watched | ratio |\n|---|---|---|---|---|---|---|'
  return { table: [head, ...rows].join('\n'), results }
}

function rowOf({ title }: Scenario, results: readonly Load[]): string {
  const of = (server: string, figure: 'deliveriesPerSecond' | 'cpuMicrosPerDelivery'): number[] =>
    results.filter((result) => result.server === server).map((result) => result[figure] ?? NaN)
  const cells = (['deliveriesPerSecond', 'cpuMicrosPerDelivery'] as const).flatMap((figure) => {
    const [alone, watched] = [of('alone', figure), of('watched', figure)]
    const ratio = median(watched.map((value, round) => value / alone[round]!))
    const digits = figure === 'deliveriesPerSecond' ? 0 : 3
    return [median(alone).toFixed(digits), median(watched).toFixed(digits), ratio.toFixed(3)]
  })
  return `| ${[title, ...cells].join(' | ')} |`
}
