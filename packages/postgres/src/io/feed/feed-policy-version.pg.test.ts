import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed

/** Of such a function it is known which claim it reads, and users who differ in others are asked about as one. */
const mayBy = (claim: string): string =>
  `create or replace function may() returns text language sql stable as $$ select current_setting('request.jwt.claims', true)::jsonb ->> '${claim}' $$`

const SETUP = `${mayBy('first')};
  create table guarded (id int primary key); alter table guarded replica identity full;
  alter table guarded enable row level security;
  create policy may on guarded for select using (may() = 'yes');
  grant select on guarded to authenticated;
  alter publication supabase_realtime add table guarded;`

afterEach(() => it.close())

/** By how rows are looked at: more SQL, and what writes a row in a way that it is looked at so. */
const WAYS = {
  'by functions': ['', (id: number) => `insert into guarded values (${id})`],
  'by prepared statements': [
    `do $$ begin execute format('revoke temporary, create on database %I from public', current_database()); end $$`,
    (id: number) => `insert into guarded values (${id})`,
  ],
  'after they are deleted': ['', (id: number) => `insert into guarded values (${id}); delete from guarded where id = ${id}`],
} as const

type Way = keyof typeof WAYS
type Write = (id: number) => string

/** Two users, for the policies alike but for the second row: that one is written while or after `differ` makes them differ. */
async function toldApart(
  way: Way,
  setup: string,
  options: Parameters<typeof startFeed>[2],
  differ: (write: Write) => Promise<unknown>,
): Promise<void> {
  const [more, write] = WAYS[way]
  it = await startFeed(await postgres.createDatabase(), setup + more, options)
  const event = way === 'after they are deleted' ? 'DELETE' : 'INSERT'
  const entries = [{ event, schema: 'public', table: 'guarded' }]
  const open = (second: string): ReturnType<TestFeed['open']> =>
    it.open({ entries, identity: asRole('authenticated', { first: 'yes', second }), deletes: 'authorized' })
  const [one, other] = [open('yes'), open('no')]
  await Promise.all([one.subscribed(), other.subscribed()])
  await it.sql.query(write(1))
  await Promise.all([one.received(1), other.received(1)])
  await differ(write)
  await one.received(2)
  await it.sql.query(mayBy('first'))
  await it.sql.query(write(3))
  await Promise.all([one.received(3), other.received(2)])
  expect(other.changes.map(({ data }) => (data.record ?? data.old_record)?.['id'])).toEqual([1, 3])
  for (const channel of [one, other]) channel.handle.close()
}

test.each(Object.keys(WAYS) as Way[])(
  'users who were alike for the policies are distinguished as soon as a function reads another claim: rows %s',
  (way) =>
    toldApart(way, SETUP, {}, async (write) => {
      // The stream does not hold functions: the check itself has to notice.
      await it.sql.query(mayBy('second'))
      await it.sql.query(write(2))
    }),
)

/** A check of a row waits at the gate; it opens when what `during` did is committed. */
async function whileAsked(ask: string, during: string): Promise<void> {
  const other = new pg.Client({ connectionString: it.url })
  await other.connect()
  try {
    await other.query('begin')
    await other.query('lock table gate')
    await it.sql.query(ask)
    await expect.poll(() => checkersWaiting(other), { timeout: 10_000 }).toBe(true)
    await other.query(during)
    await other.query('commit')
  } finally {
    await other.end()
  }
}

async function checkersWaiting(sql: pg.Client): Promise<boolean> {
  const { rowCount } = await sql.query(
    `select from pg_stat_activity where datname = current_database() and application_name = 'tidewire check' and wait_event_type = 'Lock'`,
  )
  return rowCount !== 0
}

const GATE = `create table gate (); grant select on gate to authenticated;
  alter policy may on guarded using (exists (select from gate) is not null and may() = 'yes');`

test.each(Object.keys(WAYS) as Way[])(
  'what a function reads when users are being asked about, it reads of each of them: rows %s',
  { timeout: 60_000 },
  (way) =>
    toldApart(way, SETUP + GATE, { identityTimeoutMs: 20_000 }, (write) =>
      whileAsked(write(2), mayBy('second').replace(/select (.*) \$\$/, `select coalesce($1, 'yes') $$$$`)),
    ),
)

test('a column that goes while users are asked about a deleted row costs no user the delete', { timeout: 60_000 }, async () => {
  const setup = `${SETUP}${GATE} alter table guarded add column more text; alter policy may on guarded using (exists (select from gate) is not null);`
  it = await startFeed(await postgres.createDatabase(), setup, { identityTimeoutMs: 20_000 })
  const entries = [{ event: 'DELETE', schema: 'public', table: 'guarded' }]
  const channel = it.open({ entries, identity: asRole('authenticated'), deletes: 'authorized' })
  await channel.subscribed()
  await whileAsked(`insert into guarded values (1, 'x'); delete from guarded`, 'alter table guarded drop column more')
  await channel.received(1)
  expect(channel.changes[0]!.data.old_record).toEqual({ id: 1 })
  expect(channel.systems).toHaveLength(1)
  channel.handle.close()
})
