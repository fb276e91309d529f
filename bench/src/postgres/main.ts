import { startDatabase } from './database.ts'
import { decode } from './decode.ts'
import { fanOut, type FanOutLoad } from './fan-out.ts'
import { insertLatency } from './insert-latency.ts'
import type { PolicyName } from './messages.ts'
import { policyCases } from './policy-case.ts'
import type { PostgresResult } from './report.ts'

export const postgresScenarios = ['decode', 'insert', ...policyCases.map(({ name }) => name)] as const
export type PostgresScenario = 'decode' | 'insert' | PolicyName

export interface PostgresRun {
  readonly scenarios: readonly PostgresScenario[]
  readonly rounds: number
  readonly quick: boolean
}

export interface PostgresOutcome {
  readonly results: readonly PostgresResult[]
  readonly version: string
  readonly conditions: readonly string[]
}

const RATES = [2, 200, 1000]

/** As many changes as take a few seconds. */
const LOADS: Readonly<Record<PolicyName, readonly FanOutLoad[]>> = {
  owner: [
    { subscribers: 1_000, changes: 20_000 },
    { subscribers: 10_000, changes: 20_000 },
  ],
  'member-filtered': [
    { subscribers: 1_000, changes: 8_000 },
    { subscribers: 10_000, changes: 1_500 },
  ],
  member: [
    { subscribers: 1_000, changes: 2_500 },
    { subscribers: 10_000, changes: 300 },
  ],
}

/** Runs on a Postgres of its own, which is gone afterwards. */
export async function benchPostgres({ scenarios, rounds, quick }: PostgresRun): Promise<PostgresOutcome> {
  const results: PostgresResult[] = []
  const onResult = (result: PostgresResult): void => {
    results.push(result)
    console.error(inBrief(result))
  }
  const rows = quick ? 20_000 : 200_000
  const measureMs = quick ? 1_000 : 6_000
  const database = await startDatabase()
  try {
    const failures: string[] = []
    // What was measured before and what comes after is worth keeping.
    const attempt = async (what: string, work: Promise<void>): Promise<void> => {
      await work.catch((error: unknown) => {
        failures.push(`Failed: ${what}: ${error instanceof Error ? error.message : String(error)}`)
        console.error(failures.at(-1))
      })
    }
    if (scenarios.includes('decode')) await attempt('decode', decode(database, rows, rounds, onResult))
    if (scenarios.includes('insert')) await attempt('insert', insertLatency(database, RATES, measureMs, rounds, onResult))
    for (const policyCase of policyCases.filter(({ name }) => scenarios.includes(name)))
      for (const load of LOADS[policyCase.name].map((each) => (quick ? smaller(each) : each)))
        await attempt(`${policyCase.name}, ${load.subscribers} subscribers`, fanOut(database, policyCase, load, rounds, onResult))
    return { results, version: database.version, conditions: [...conditions(rounds, rows, measureMs), ...failures] }
  } finally {
    await database.stop()
  }
}

function smaller({ subscribers, changes }: FanOutLoad): FanOutLoad {
  return { subscribers: subscribers / 10, changes: changes / 10 }
}

function conditions(rounds: number, rows: number, measureMs: number): string[] {
  return [
    `${rounds === 1 ? '1 round' : `${rounds} rounds`}, medians; spread is (highest − lowest) / median; ratios are taken within a round. A new Postgres on the same machine, which waits for the disk at each commit; 127.0.0.1.`,
    `Rows out of the slot: ${rows.toLocaleString('en')} rows of about 200 B in transactions of 100, written beforehand. Readers take turns, each in a process of its own, timed from connecting to the last row. "tidewire" is the change source, with every row written as JSON; "bare socket" counts rows in the bytes and looks at nothing else; pg_recvlogical writes to /dev/null, and its time includes the start of its process.`,
    `From the insert to the frame: \`tidewire start\` in its own process, one WebSocket, a table with an owner policy; 8 sessions insert single rows for ${measureMs / 1000} s (at least 20 rows), and waiting for a free one counts.`,
    'Changes per second: the feed in its own process, with a listener for each subscriber and no sockets. Every subscriber is another user with claims of about 600 B; of 100 organizations each is in one. Timed from before the rows are written (100 a transaction) to the last delivery.',
    'The obvious way: for each change and each subscriber, the claims are set and the row is asked for, in a loop inside of Postgres on one session, for up to 100 changes or 3 s, while the feed has nothing to do. With a filter it is part of the question; "filter first" asks only for those whose filter matches.',
    'Memory: what the subscriptions add to the process of the feed, after a garbage collection; claims are there before. All subscribe at once.',
  ]
}

function inBrief(result: PostgresResult): string {
  switch (result.kind) {
    case 'decode':
      return `round ${result.round + 1}  decode  ${result.reader.padEnd(14)} ${Math.round(result.rowsPerSecond)} rows/s, CPU ${result.cpuMs?.toFixed(0) ?? '?'} ms`
    case 'latency':
      return (
        `round ${result.round + 1}  insert  ${result.insertsPerSecond}/s: p50 ${result.p50.toFixed(2)} ms, p99 ${result.p99.toFixed(2)} ms, ` +
        `insert ${result.insertP50.toFixed(2)} ms, made ${result.madePerSecond.toFixed(1)}/s, lost ${result.lost}, duplicated ${result.duplicated}`
      )
    case 'fan-out':
      return (
        `round ${result.round + 1}  ${result.policy}  ${result.subscribers}: ${result.changesPerSecond.toFixed(1)} changes/s, obvious ${result.obviousPerSecond.toFixed(2)}, ` +
        `filter first ${result.byFilterPerSecond?.toFixed(1) ?? '-'}, subscribed in ${result.subscribeMs.toFixed(0)} ms, heap ${result.heapBytes.toFixed(0)} B each, ` +
        `wrong ${result.wrong}, faults ${result.faults.join('; ') || 'none'}`
      )
  }
}
