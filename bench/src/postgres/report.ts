import { count, reportHead, table, type ReportHead } from '../report.ts'
import { median, spread } from '../statistics.ts'
import type { DecodeResult, ReaderName } from './decode.ts'
import type { FanOutResult } from './fan-out.ts'
import type { LatencyResult } from './insert-latency.ts'
import type { PolicyName } from './messages.ts'
import { policyCases } from './policy-case.ts'

export type PostgresResult = DecodeResult | LatencyResult | FanOutResult

const LEAST_DECODE_SHARE = 0.9
const MOST_P50_MS = 5

/** How many times the obvious way, at 1,000 subscribers and at 10,000. */
const LEAST_RATIO: Readonly<Record<PolicyName, (subscribers: number) => number>> = {
  owner: (subscribers) => (subscribers >= 10_000 ? 3_000 : 300),
  'member-filtered': () => 80,
  member: () => 30,
}

/** The results as a page, each figure with the one that is expected of it. Medians of the rounds. */
export function formatPostgresReport(head: ReportHead, results: readonly PostgresResult[]): string {
  const decoded = results.flatMap((result) => (result.kind === 'decode' ? [result] : []))
  const latencies = results.flatMap((result) => (result.kind === 'latency' ? [result] : []))
  const fanOuts = results.flatMap((result) => (result.kind === 'fan-out' ? [result] : []))
  return [
    ...reportHead(head),
    ...(decoded.length === 0 ? [] : ['## Rows out of the slot', '', ...decodeTable(decoded), '']),
    ...(latencies.length === 0 ? [] : ['## From the insert to the frame', '', ...latencyTable(latencies), '']),
    ...(fanOuts.length === 0 ? [] : ['## Changes per second under row level security', '', ...fanOutTable(fanOuts), '']),
    ...(fanOuts.length === 0 ? [] : ['## Memory', '', ...memoryTable(fanOuts), '']),
  ].join('\n')
}

function decodeTable(results: readonly DecodeResult[]): string[] {
  const byReader = groups(results, ({ reader }) => reader)
  const baseline: ReaderName = byReader.has('pg_recvlogical') ? 'pg_recvlogical' : 'bare socket'
  return table(
    ['reader', 'rows/s', 'spread', `to ${baseline}`, 'expected', 'met', 'CPU s'],
    [...byReader].map(([reader, runs]) => {
      const share = median(
        runs.flatMap((run) => {
          const other = results.find((each) => each.reader === baseline && each.round === run.round)
          return other === undefined ? [] : [run.rowsPerSecond / other.rowsPerSecond]
        }),
      )
      const rates = runs.map(({ rowsPerSecond }) => rowsPerSecond)
      const cpu = runs.flatMap(({ cpuMs }) => (cpuMs === null ? [] : [cpuMs / 1000]))
      const isOurs = reader === 'tidewire'
      return [
        reader,
        count(median(rates)),
        `${Math.round(spread(rates) * 100)} %`,
        share.toFixed(2),
        isOurs ? `≥ ${LEAST_DECODE_SHARE}` : '',
        isOurs ? yes(share >= LEAST_DECODE_SHARE) : '',
        cpu.length === 0 ? '' : median(cpu).toFixed(2),
      ]
    }),
  )
}

function latencyTable(results: readonly LatencyResult[]): string[] {
  return table(
    ['inserts/s', 'made/s', 'p50 ms', 'expected', 'met', 'p99 ms', 'the insert alone, p50 ms', 'inserts', 'lost/dup'],
    [...groups(results, ({ insertsPerSecond }) => insertsPerSecond)].map(([rate, runs]) => {
      const of = (figure: 'p50' | 'p99' | 'insertP50' | 'madePerSecond'): number => median(runs.map((run) => run[figure]))
      return [
        count(rate),
        of('madePerSecond').toFixed(1),
        of('p50').toFixed(2),
        `≤ ${MOST_P50_MS}`,
        yes(of('p50') <= MOST_P50_MS),
        of('p99').toFixed(2),
        of('insertP50').toFixed(2),
        count(sum(runs.map(({ inserts }) => inserts))),
        `${sum(runs.map(({ lost }) => lost))}/${sum(runs.map(({ duplicated }) => duplicated))}`,
      ]
    }),
  )
}

function fanOutTable(results: readonly FanOutResult[]): string[] {
  return table(
    [
      'case',
      'subscribers',
      'changes/s',
      'spread',
      'deliveries/s',
      'the obvious way, changes/s',
      'ratio',
      'expected',
      'met',
      'obvious, filter first',
      'ratio',
      'changes',
      'wrong deliveries',
      'faults',
    ],
    cases(results).map((runs) => {
      const [{ policy, subscribers, changes }] = runs
      const ratio = median(runs.map((run) => run.changesPerSecond / run.obviousPerSecond))
      const least = LEAST_RATIO[policy](subscribers)
      const byFilter = runs.flatMap((run) => (run.byFilterPerSecond === null ? [] : [run.byFilterPerSecond]))
      const byFilterRatio = median(
        runs.flatMap((run) => (run.byFilterPerSecond === null ? [] : [run.changesPerSecond / run.byFilterPerSecond])),
      )
      return [
        titleOf(policy),
        count(subscribers),
        count(median(runs.map((run) => run.changesPerSecond))),
        `${Math.round(spread(runs.map((run) => run.changesPerSecond)) * 100)} %`,
        count(median(runs.map((run) => run.deliveriesPerSecond))),
        median(runs.map((run) => run.obviousPerSecond)).toFixed(1),
        `${count(ratio)} ×`,
        `≥ ${count(least)} ×`,
        yes(ratio >= least),
        byFilter.length === 0 ? '' : median(byFilter).toFixed(1),
        byFilter.length === 0 ? '' : `${byFilterRatio.toFixed(1)} ×`,
        count(changes),
        count(Math.max(...runs.map(({ wrong }) => wrong))),
        count(sum(runs.map(({ faults }) => faults.length))),
      ]
    }),
  )
}

function memoryTable(results: readonly FanOutResult[]): string[] {
  return table(
    ['case', 'subscriptions', 'heap B each', 'RSS B each', 'RSS MB together', 'all subscribed after s'],
    cases(results).map((runs) => {
      const [{ policy, subscribers }] = runs
      const rss = median(runs.map(({ rssBytes }) => rssBytes))
      return [
        titleOf(policy),
        count(subscribers),
        count(median(runs.map(({ heapBytes }) => heapBytes))),
        count(rss),
        ((rss * subscribers) / 1e6).toFixed(1),
        (median(runs.map(({ subscribeMs }) => subscribeMs)) / 1000).toFixed(2),
      ]
    }),
  )
}

function cases(results: readonly FanOutResult[]): (readonly [FanOutResult, ...FanOutResult[]])[] {
  return [...groups(results, ({ policy, subscribers }) => `${policy} ${subscribers}`).values()]
}

function titleOf(policy: PolicyName): string {
  return policyCases.find(({ name }) => name === policy)!.title
}

function groups<Each, Key>(results: readonly Each[], keyOf: (each: Each) => Key): Map<Key, [Each, ...Each[]]> {
  const all = new Map<Key, [Each, ...Each[]]>()
  for (const result of results) {
    const group = all.get(keyOf(result))
    if (group === undefined) all.set(keyOf(result), [result])
    else group.push(result)
  }
  return all
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function yes(met: boolean): string {
  return met ? 'yes' : '**no**'
}
