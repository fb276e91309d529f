/**
 * How long subscribers wait whose neighbours have slow filters or policies: `npx tsx bench/src/postgres/neighbours.ts [--quick]`.
 * Each row is between two runs of the same writes without neighbours (A/A), interleaved.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { openPostgresFeed, type PostgresFeed } from '@tidewire/postgres'
import type { Claims } from '@tidewire/server'
import { percentile } from '../statistics.ts'
import { startDatabase, withClient } from './database.ts'

interface Neighbours {
  readonly name: string
  /** The entry and the claims of the neighbour with this number; `null`: there are none. */
  readonly ask: ((number: number) => { readonly entry: object; readonly claims: Claims }) | null
  readonly count: number
}

const quick = process.argv.includes('--quick')
const MEASURE_MS = quick ? 3_000 : 20_000
const RATE = 50
const COSTLY = String.raw`^(.*)(.*)(.*)(.*)(.*)\1\2\3\4\5$`

const SETUP = `
create table watched (id serial primary key, owner text, at timestamptz default clock_timestamp());
alter table watched enable row level security;
create policy own on watched for select to authenticated using (owner = auth.jwt() ->> 'sub');
create table texts (id serial primary key, t text);
create table slow (id serial primary key);
alter table slow enable row level security;
create policy sleeps on slow for select to authenticated using (pg_sleep(5) is not null);
grant select on watched, texts, slow to authenticated;
alter publication supabase_realtime add table watched, texts, slow`

const hostile = (count: number): Neighbours => ({
  name: `${count} costly filters`,
  count,
  ask: (number) => ({
    entry: {
      event: '*',
      schema: 'public',
      table: 'texts',
      filter: `t=match."${COSTLY.replaceAll('\\', '\\\\')}${'x?'.repeat(number % 40)}"`,
    },
    claims: { role: 'authenticated', sub: `hostile ${number}` },
  }),
})

const cases: readonly Neighbours[] = [
  ...[1, 10, 100].map(hostile),
  {
    name: '100 identities whose policies sleep',
    count: 100,
    ask: (number) => ({
      entry: { event: '*', schema: 'public', table: 'slow' },
      claims: { role: 'authenticated', sub: `sleepy ${number}` },
    }),
  },
]

const none: Neighbours = { name: 'none', count: 0, ask: null }

const database = await startDatabase()
try {
  console.log('| neighbours | p50 ms | p99 ms | A/A p99 ms | ratio |\n|---|--:|--:|--:|--:|')
  for (const neighbours of cases) {
    const [before, measured, after] = [await measure(none), await measure(neighbours), await measure(none)]
    const base = (before.p99 + after.p99) / 2
    const cells = [neighbours.name, measured.p50.toFixed(1), measured.p99.toFixed(1), `${before.p99.toFixed(1)}, ${after.p99.toFixed(1)}`]
    console.log(`| ${[...cells, (measured.p99 / base).toFixed(2)].join(' | ')} |`)
  }
} finally {
  await database.stop()
}

async function measure({ ask, count }: Neighbours): Promise<{ readonly p50: number; readonly p99: number }> {
  const url = await database.create(SETUP)
  const feed = openPostgresFeed({ databaseUrl: url, temporarySlot: true })
  const arrived = new Map<number, number>()
  try {
    await open(feed, { event: '*', schema: 'public', table: 'watched' }, { role: 'authenticated', sub: 'victim' }, (id) =>
      arrived.set(id, performance.now()),
    )
    for (let number = 0; number < count; number++) {
      const { entry, claims } = ask!(number)
      await open(feed, entry, claims, () => {})
    }
    return await withClient(url, async (client) => {
      const times: number[] = []
      for (let id = 1; id <= (MEASURE_MS / 1_000) * RATE; id++) {
        if (id % 10 === 1)
          await client.query(`insert into texts (t) select md5('1') || md5('2') || md5('3') || md5('4'); insert into slow default values`)
        const at = performance.now()
        await client.query(`insert into watched (owner) values ('victim')`)
        for (const deadline = at + 30_000; !arrived.has(id); await delay(1))
          if (performance.now() > deadline) throw new Error(`${id} is lost`)
        times.push(arrived.get(id)! - at)
        await delay(Math.max(0, 1_000 / RATE - (performance.now() - at)))
      }
      return { p50: percentile(times, 0.5), p99: percentile(times, 0.99) }
    })
  } finally {
    await feed.close()
  }
}

/** Resolves when it is subscribed. */
function open({ changeFeed }: PostgresFeed, entry: object, claims: Claims, received: (id: number) => void): Promise<void> {
  return new Promise((resolve) => {
    changeFeed.open(
      {
        ...{ subTopic: 'bench', positions: false, since: null, deletes: 'all', legacy: false },
        entries: [{ id: 1, entry }],
        identity: { role: 'authenticated', claims, headers: {} },
      },
      {
        change: (_event, payload) => {
          const { data } = JSON.parse(Buffer.from(payload).toString()) as { data: { record: { id: number } } }
          received(data.record.id)
        },
        system: (status, message) => {
          if (status === 'ok') resolve()
          else if (message.startsWith('Unable')) console.error(message)
        },
      },
    )
  })
}
