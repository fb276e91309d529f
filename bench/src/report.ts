import { BASELINE } from './contestants.ts'
import type { Machine } from './machine.ts'
import type { RunResult } from './run.ts'
import type { Scenario } from './scenario.ts'
import { median, medianOf, quotient, spread } from './statistics.ts'

/** The head of a page. */
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
  const refusals = results.flatMap((result) =>
    result.kind === 'refused' ? [`${result.server} refused in round ${result.round + 1}: ${result.reason}`] : [],
  )
  const figures = results.filter(({ kind }) => kind !== 'refused')
  if (figures.length === 0) return refusals
  return [...figuresOf(figures), ...(refusals.length === 0 ? [] : ['', ...refusals])]
}

function figuresOf(results: readonly RunResult[]): string[] {
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
      decimals(rate(runs), 2),
      decimals(of(runs, 'cpuMicrosPerDelivery'), 3),
      percent(spreadOf(runs.map((run) => run.cpuMicrosPerDelivery))),
      decimals(quotient(1, cost(runs)), 2),
      decimals(of(runs, 'deliveriesPerRead'), 1),
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
      decimals(of(runs, 'cpuMicrosPerDelivery'), 2),
      faultsOf(runs),
    ]),
  )
}

function idleTable(results: readonly Result<'idle'>[]): string[] {
  return table(
    ['server', 'RSS bytes/connection', 'spread', 'heap bytes/connection', 'spread', 'connections', 'RSS MB before'],
    byServer(results).map(([server, runs]) => [
      server,
      count(median(runs.map(({ bytesPerConnection }) => bytesPerConnection))),
      percent(spread(runs.map(({ bytesPerConnection }) => bytesPerConnection))),
      count(median(runs.map(({ heapBytesPerConnection }) => heapBytesPerConnection))),
      percent(spread(runs.map(({ heapBytesPerConnection }) => heapBytesPerConnection))),
      count(runs[0]!.connections),
      (median(runs.map(({ baseBytes }) => baseBytes)) / 1e6).toFixed(0),
    ]),
  )
}

type Figure = 'deliveriesPerSecond' | 'cpuMicrosPerDelivery' | 'deliveriesPerRead' | 'serverLoad' | 'generatorLoad'

function of(runs: readonly Result<'load'>[], figure: Figure): number | null {
  return medianOf(runs.map((run) => run[figure]))
}

function spreadOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : spread(known)
}

/** The median of the ratios within each round: what disturbed a round disturbed both. */
function ratioTo(baseline: readonly Result<'load'>[], figure: Figure): (runs: readonly Result<'load'>[]) => number | null {
  return (runs) =>
    medianOf(
      runs.flatMap((run) => {
        const other = baseline.find(({ round }) => round === run.round)
        return other === undefined ? [] : [quotient(run[figure], other[figure])]
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

/** Stands in place of a missing figure. */
export const NOTHING = '–'

export function count(value: number | null): string {
  return value === null ? NOTHING : Math.round(value).toLocaleString('en')
}

export function decimals(value: number | null, digits: number): string {
  return value === null ? NOTHING : value.toFixed(digits)
}

function percent(share: number | null): string {
  return share === null ? NOTHING : `${Math.round(share * 100)} %`
}
