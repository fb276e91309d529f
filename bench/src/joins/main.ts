import { Child, cpuMicrosOf } from '../child.ts'
import type { ServerMessage } from '../messages.ts'
import { startDatabase } from '../postgres/database.ts'
import { reportHead, table, type ReportHead } from '../report.ts'
import { SECRET } from '../servers/tidewire-node.ts'
import { median, percentile } from '../statistics.ts'
import { signToken } from '../token.ts'
import type { JoinsJob, JoinsLoadMessage } from './load.ts'

const setup = (claim: string): string => `
  create table members (room text, member text, primary key (room, member));
  grant select on members to authenticated;
  insert into members select 'room ' || n, 'user ' || n from generate_series(0, 9999) n;
  create policy members on realtime.messages for select to authenticated
    using (exists (select from members where room = realtime.topic() and member = auth.jwt() ->> '${claim}'));
  analyze members;`

const CASES = ['own', 'same', 'tenant'] as const
type JoinsCase = (typeof CASES)[number]

const TITLES: Readonly<Record<JoinsCase, string>> = {
  own: 'each its own token and topic, with a policy that looks into a table',
  same: 'all the same token and topic, with the same policy',
  tenant: 'each its own token, all the same topic, with a policy that reads a claim which all have in common',
}

export interface JoinsRun {
  readonly case: JoinsCase
  readonly joins: number
  readonly joinsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly publicP99Ms: number
  readonly cpuMicrosPerJoin: number
  readonly refused: number
}

const STEP_TIMEOUT_MS = 120_000

/** Joins of private channels, all at once, on a Postgres of its own. Server, Postgres and load share the cores. */
export async function benchJoins({ rounds, quick }: { readonly rounds: number; readonly quick: boolean }): Promise<{
  readonly runs: readonly JoinsRun[]
  readonly version: string
}> {
  const database = await startDatabase()
  const runs: JoinsRun[] = []
  try {
    const [bySub, byTenant] = [await database.create(setup('sub')), await database.create(setup('tenant'))]
    for (let round = 0; round < rounds; round++)
      for (const each of CASES) {
        process.env['BENCH_DATABASE_URL'] = each === 'tenant' ? byTenant : bySub
        const run = await runOnce(each, quick ? 500 : 5_000)
        runs.push(run)
        console.error(
          `round ${round + 1}  ${each}  ${run.joinsPerSecond.toFixed(0)} joins/s, p50 ${run.p50Ms.toFixed(0)} ms, p99 ${run.p99Ms.toFixed(0)} ms, public p99 ${run.publicP99Ms.toFixed(0)} ms, ${run.cpuMicrosPerJoin.toFixed(0)} µs, refused ${run.refused}`,
        )
      }
    return { runs, version: database.version }
  } finally {
    await database.stop()
  }
}

async function runOnce(which: JoinsCase, count: number): Promise<JoinsRun> {
  const server = new Child<ServerMessage>('./servers/tidewire-private.ts', null)
  const load = new Child<JoinsLoadMessage>('./joins/load.ts', null)
  try {
    const ready = await server.next(STEP_TIMEOUT_MS)
    if (ready.kind !== 'ready') throw new Error(`the server said "${ready.kind}" instead of "ready"`)
    const joins = Array.from({ length: count }, (_, n) => {
      const user = which === 'same' ? 0 : n
      return {
        topic: `room ${which === 'tenant' ? 0 : user}`,
        token: signToken({ role: 'authenticated', sub: `user ${user}`, email: `user${user}@example.org`, tenant: 'user 0' }, SECRET),
      }
    })
    const job: JoinsJob = { port: ready.port, joins, publicToken: ready.apiKey }
    load.send(job)
    await expect(load, 'begin')
    const before = cpuMicrosOf(server.pid) ?? NaN
    const { elapsedMs, joinMs, publicMs, refused } = await expect(load, 'measured')
    const after = cpuMicrosOf(server.pid) ?? NaN
    return {
      case: which,
      joins: count,
      joinsPerSecond: (joinMs.length / elapsedMs) * 1_000,
      p50Ms: median(joinMs),
      p99Ms: percentile(joinMs, 0.99),
      publicP99Ms: percentile(publicMs, 0.99),
      cpuMicrosPerJoin: (after - before) / count,
      refused: Object.values(refused).reduce((sum, each) => sum + each, 0),
    }
  } finally {
    await load.stop()
    await server.stop()
  }
}

async function expect<Kind extends JoinsLoadMessage['kind']>(
  load: Child<JoinsLoadMessage>,
  kind: Kind,
): Promise<Extract<JoinsLoadMessage, { readonly kind: Kind }>> {
  const message = await load.next(STEP_TIMEOUT_MS)
  if (message.kind !== kind) throw new Error(message.kind === 'failed' ? message.reason : `the load said "${message.kind}"`)
  return message as Extract<JoinsLoadMessage, { readonly kind: Kind }>
}

export function formatJoinsReport(head: Omit<ReportHead, 'conditions'>, runs: readonly JoinsRun[], rounds: number): string {
  const conditions = [
    `${rounds === 1 ? '1 round' : `${rounds} rounds`}, medians. A new server process and a new load process a run, a Postgres of its own, all on the same cores; 5 sessions.`,
    'Sockets are open before; all joins are sent at once. "public": joins of public channels on another socket meanwhile. CPU is that of the server, without Postgres.',
  ]
  const columns = ['joins', 'joins/s', 'p50 ms', 'p99 ms', 'public p99 ms', 'CPU µs a join', 'refused']
  const rows = CASES.map((each) => {
    const of = runs.filter((run) => run.case === each)
    const middle = (figure: Exclude<keyof JoinsRun, 'case'>): string => median(of.map((run) => run[figure])).toFixed(0)
    return [
      TITLES[each],
      middle('joins'),
      middle('joinsPerSecond'),
      middle('p50Ms'),
      middle('p99Ms'),
      middle('publicP99Ms'),
      middle('cpuMicrosPerJoin'),
      middle('refused'),
    ]
  })
  return [...reportHead({ ...head, conditions }), ...table(['joins', ...columns], rows), ''].join('\n')
}
