/** Transactions that come while one is being decided are decided together, in the state that they left. */
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { asRole, startFeed, type TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
const USER_1 = '11111111-1111-1111-1111-111111111111'
const USER_2 = '22222222-2222-2222-2222-222222222222'

let it: TestFeed

beforeEach(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table gate ();
     create table shared (id int primary key, owner uuid, n int); alter table shared replica identity full;
     alter table shared enable row level security;
     create policy own on shared for select to authenticated using (exists (select from gate) is not null and case when owner = auth.uid() then 10 / n > 0 else false end);
     grant select on gate, shared to authenticated, service_role;
     alter publication supabase_realtime add table shared`,
    { identityTimeoutMs: 20_000 },
  )
})
afterEach(() => it.close())

/** A check of a row waits at the gate, with a first row, until everything of `wait` is committed. */
async function whileOneIsDecided(write: (sql: pg.Client) => Promise<unknown>): Promise<void> {
  const keeper = new pg.Client({ connectionString: it.url })
  await keeper.connect()
  try {
    await keeper.query('begin')
    await keeper.query('lock table gate')
    await it.sql.query(`insert into shared values (0, '${USER_1}', 1)`)
    const waits = `select from pg_stat_activity where datname = current_database() and application_name = 'tidewire check' and wait_event_type = 'Lock'`
    await expect.poll(async () => (await it.sql.query(waits)).rowCount, { timeout: 10_000 }).toBe(1)
    await write(it.sql)
    await keeper.query('rollback')
  } finally {
    await keeper.end()
  }
}

function watch(role: string, sub: string, deletes: 'all' | 'authorized' = 'all'): TestChannel {
  return it.open({ entries: [{ event: '*', schema: 'public', table: 'shared' }], identity: asRole(role, { sub }), deletes })
}

const deliveredTo = (channel: TestChannel): string[] =>
  channel.changes.map(({ data }) =>
    `${data.type} ${String((data.record ?? data.old_record)?.['id'])} ${String(data.record?.['n'] ?? '')}`.trim(),
  )

async function allOf(sql: pg.Client, ...statements: readonly string[]): Promise<void> {
  for (const statement of statements) await sql.query(statement)
}

test('a row that several of them wrote is shown as it is afterwards, and everything comes in the order of the commits', async () => {
  const [mine, theirs, authorized, service] = [
    watch('authenticated', USER_1),
    watch('authenticated', USER_2),
    watch('authenticated', USER_2, 'authorized'),
    watch('service_role', USER_1),
  ]
  const all = [mine, theirs, authorized, service]
  await Promise.all(all.map((channel) => channel.subscribed()))
  await whileOneIsDecided((sql) =>
    allOf(
      sql,
      `insert into shared values (1, '${USER_1}', 1)`,
      `update shared set n = 2 where id = 1`,
      `insert into shared values (2, '${USER_1}', 1)`,
      `update shared set owner = '${USER_2}', n = 3 where id = 2`,
      `update shared set n = 4 where id = 1`,
      `insert into shared values (3, '${USER_2}', 1)`,
      `update shared set n = 5 where id = 3`,
      `delete from shared where id = 3`,
      `insert into shared values (3, '${USER_2}', 6)`,
      `insert into shared values (4, '${USER_2}', 1)`,
      `delete from shared where id = 4`,
      `insert into shared values (5, '${USER_1}', 1)`,
    ),
  )
  await service.received(13)
  expect(deliveredTo(service)).toEqual([
    ...['INSERT 0 1', 'INSERT 1 1', 'UPDATE 1 2', 'INSERT 2 1', 'UPDATE 2 3', 'UPDATE 1 4', 'INSERT 3 1', 'UPDATE 3 5', 'DELETE 3'],
    ...['INSERT 3 6', 'INSERT 4 1', 'DELETE 4', 'INSERT 5 1'],
  ])
  await Promise.all([mine.received(7), theirs.received(7), authorized.received(7)])
  // Row 4 is gone: of it only the delete is sent. What was written again is sent as it is now, since the policies read another table.
  expect(deliveredTo(mine)).toEqual(['INSERT 0 1', 'INSERT 1 4', 'UPDATE 1 4', 'UPDATE 1 4', 'DELETE 3', 'DELETE 4', 'INSERT 5 1'])
  expect(deliveredTo(theirs)).toEqual(['INSERT 2 3', 'UPDATE 2 3', 'INSERT 3 6', 'UPDATE 3 6', 'DELETE 3', 'INSERT 3 6', 'DELETE 4'])
  expect(theirs.changes.map(({ data }) => data.superseded === true)).toEqual([true, false, true, true, false, false, false])
  expect(deliveredTo(authorized)).toEqual(deliveredTo(theirs))
  for (const channel of all) channel.handle.close()
})

test('a policy that fails for a row of one of them withholds that row alone', async () => {
  const [mine, theirs] = [watch('authenticated', USER_1), watch('authenticated', USER_2)]
  await Promise.all([mine.subscribed(), theirs.subscribed()])
  await whileOneIsDecided((sql) =>
    allOf(
      sql,
      `insert into shared values (1, '${USER_1}', 1)`,
      `insert into shared values (2, '${USER_1}', 0)`,
      `insert into shared values (3, '${USER_2}', 3)`,
      `insert into shared values (4, '${USER_1}', 4)`,
    ),
  )
  await Promise.all([mine.received(3), theirs.received(1)])
  expect(deliveredTo(mine)).toEqual(['INSERT 0 1', 'INSERT 1 1', 'INSERT 4 4'])
  expect(deliveredTo(theirs)).toEqual(['INSERT 3 3'])
  await mine.until(() => mine.systems.length === 2)
  expect(mine.systems[1]!.message).toBe('Changes of public.shared are withheld: its policies failed for you')
  expect(theirs.systems).toHaveLength(1)
  for (const channel of [mine, theirs]) channel.handle.close()
})

test('more of them than are decided at once come whole and in order', { timeout: 60_000 }, async () => {
  const [mine, theirs] = [watch('authenticated', USER_1), watch('authenticated', USER_2)]
  await Promise.all([mine.subscribed(), theirs.subscribed()])
  const ids = Array.from({ length: 600 }, (_, at) => at + 1)
  await whileOneIsDecided((sql) =>
    allOf(sql, ...ids.map((id) => `insert into shared values (${id}, '${id % 3 === 0 ? USER_2 : USER_1}', 1)`)),
  )
  await Promise.all([mine.received(401), theirs.received(200)])
  const seen = (channel: TestChannel): unknown[] => channel.changes.map(({ data }) => data.record?.['id'])
  expect(seen(mine)).toEqual([0, ...ids.filter((id) => id % 3 !== 0)])
  expect(seen(theirs)).toEqual(ids.filter((id) => id % 3 === 0))
  for (const channel of [mine, theirs]) channel.handle.close()
})
