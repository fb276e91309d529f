import { BASELINE } from './contestants.ts'
import type { Machine } from './machine.ts'
import type { RunResult } from './run.ts'
import type { Scenario } from './scenario.ts'
import { median, spread } from './statistics.ts'

/** What stands above the tables. */
export interface ReportHead {
  readonly machine: Machine
  readonly date: string
  readonly command: string
  /** How processes were placed, and for how long they ran. */
  readonly conditions: readonly string[]
}

export interface Report extends ReportHead {
  /** Everything in one table, before the others. */
  readonly overview?: readonly string[]
  readonly scenarios: readonly Scenario[]
  readonly results: readonly RunResult[]
}

/** The results as a page: a table a scenario, medians of the rounds. */
export function formatReport(report: Report): string {
  return [
    ...reportHead(report),
    ...(report.overview === undefined ? [] : [...report.overview, '']),
    ...report.scenarios.flatMap((scenario) => [
      `## ${scenario.title}`,
      '',
      ...tableOf(report.results.filter((result) => result.scenario === scenario.name)),
      '',
    ]),
  ].join('\n')
}

export function reportHead({ machine, date, command, conditions }: ReportHead): string[] {
  return [
    `# Benchmark, ${date}, commit ${machine.commit}`,
    '',
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system}`,
    `- Node ${machine.node}, ${machine.packages.join(', ')}`,
    `- Command: \`${command}\``,
    ...conditions.map((condition) => `- ${condition}`),
    '',
  ]
}

function tableOf(results: readonly RunResult[]): string[] {
  const idle = results.flatMap((result) => (result.kind === 'idle' ? [result] : []))
  if (idle.length > 0) return idleTable(idle)
  const loads = results.flatMap((result) => (result.kind === 'load' ? [result] : []))
  return loads.some(({ latency }) => latency !== null) ? latencyTable(loads) : loadTable(loads)
}

type Result<Kind extends RunResult['kind']> = Extract<RunResult, { readonly kind: Kind }>

function loadTable(results: readonly Result<'load'>[]): string[] {
  const baseline = results.filter(({ server }) => server === BASELINE)
  const [rate, cost] = [ratioTo(baseline, 'deliveriesPerSecond'), ratioTo(baseline, 'cpuMicrosPerDelivery')]
  return table(
    [
      'server',
      'deliveries/s',
      'spread',
      `to ${BASELINE}`,
      'server CPU µs/delivery',
      'spread',
      `${BASELINE}'s CPU to it`,
      'deliveries/read',
      'server core',
      'generator core',
      'lost/dup/reordered',
    ],
    byServer(results).map(([server, runs]) => [
      server,
      count(of(runs, 'deliveriesPerSecond')),
      percent(spread(runs.map((run) => run.deliveriesPerSecond))),
      rate(runs).toFixed(2),
      of(runs, 'cpuMicrosPerDelivery').toFixed(3),
      percent(spread(runs.map((run) => run.cpuMicrosPerDelivery))),
      (1 / cost(runs)).toFixed(2),
      of(runs, 'deliveriesPerRead').toFixed(1),
      percent(of(runs, 'serverLoad')),
      percent(of(runs, 'generatorLoad')),
      faultsOf(runs),
    ]),
  )
}

function latencyTable(results: readonly Result<'load'>[]): string[] {
  return table(
    ['server', 'p50 ms', 'p99 ms', 'deliveries/s', 'server CPU µs/delivery', 'lost/dup/reordered'],
    byServer(results).map(([server, runs]) => [
      server,
      median(runs.map(({ latency }) => latency?.p50 ?? NaN)).toFixed(2),
      median(runs.map(({ latency }) => latency?.p99 ?? NaN)).toFixed(2),
      count(of(runs, 'deliveriesPerSecond')),
      of(runs, 'cpuMicrosPerDelivery').toFixed(2),
      faultsOf(runs),
    ]),
  )
}

function idleTable(results: readonly Result<'idle'>[]): string[] {
  return table(
    ['server', 'RSS bytes/connection', 'spread', 'connections', 'RSS MB before'],
    byServer(results).map(([server, runs]) => [
      server,
      count(median(runs.map(({ bytesPerConnection }) => bytesPerConnection))),
      percent(spread(runs.map(({ bytesPerConnection }) => bytesPerConnection))),
      count(runs[0]!.connections),
      (median(runs.map(({ baseBytes }) => baseBytes)) / 1e6).toFixed(0),
    ]),
  )
}

type Figure = 'deliveriesPerSecond' | 'cpuMicrosPerDelivery' | 'deliveriesPerRead' | 'serverLoad' | 'generatorLoad'

function of(runs: readonly Result<'load'>[], figure: Figure): number {
  return median(runs.map((run) => run[figure]))
}

/** The median of the ratios within each round: what disturbed a round disturbed both. */
function ratioTo(baseline: readonly Result<'load'>[], figure: Figure): (runs: readonly Result<'load'>[]) => number {
  return (runs) =>
    median(
      runs.flatMap((run) => {
        const other = baseline.find(({ round }) => round === run.round)
        return other === undefined ? [] : [run[figure] / other[figure]]
      }),
    )
}

function faultsOf(runs: readonly Result<'load'>[]): string {
  const sum = (kind: keyof Result<'load'>['faults']): number => runs.reduce((total, { faults }) => total + faults[kind], 0)
  return `${sum('lost')}/${sum('duplicated')}/${sum('reordered')}`
}

function byServer<Each extends RunResult>(results: readonly Each[]): [string, Each[]][] {
  const groups = new Map<string, Each[]>()
  for (const result of results.toSorted((a, b) => a.round - b.round)) {
    const group = groups.get(result.server)
    if (group === undefined) groups.set(result.server, [result])
    else group.push(result)
  }
  return [...groups].toSorted(([a], [b]) => (a < b ? 1 : -1))
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)]
}

export function count(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
