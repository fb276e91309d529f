import { holdCommits, releaseCommits } from '@tidewire/testkit'
import pg from 'pg'
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { transactionsVisible, notVisibleSql } from './visibility.ts'

const postgres = usePostgres()
const ME = '11111111-1111-1111-1111-111111111111'

let it: TestFeed
let writer: pg.Client

beforeAll(() => postgres.admin.query('create role joiner nologin; create role joined nologin'))
beforeEach(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table own (id int primary key, owner uuid, body text); alter table own replica identity full;
     alter table own enable row level security;
     create policy own on own for select to authenticated using (owner = auth.uid());
     create table members (user_id uuid);
     create table shared (id int primary key); alter table shared replica identity full; alter table shared enable row level security;
     create policy shared on shared for select to authenticated using (exists (select from members where user_id = auth.uid()));
     grant all on own, members, shared to authenticated;
     alter publication supabase_realtime add table own, shared`,
    { roles: ['joiner'] },
  )
  writer = new pg.Client({ connectionString: it.url, application_name: 'the writer' })
  await writer.connect()
})
afterEach(async () => {
  await releaseCommits(it.sql)
  await writer.end()
  await it.close()
})

async function waitsForStandby(): Promise<boolean> {
  const { rows } = await it.sql.query(`select from pg_stat_activity where application_name = 'the writer' and wait_event = 'SyncRep'`)
  return rows.length > 0
}

/** Committed in the stream, visible to no session. */
async function committedUnseen(sql: string): Promise<{ readonly committed: Promise<unknown> }> {
  const probe = new pg.Client({ connectionString: it.url })
  await probe.connect()
  try {
    await holdCommits(it.sql, probe)
  } finally {
    await probe.end()
  }
  const committed = writer.query(sql)
  await expect.poll(waitsForStandby, { timeout: 10_000 }).toBe(true)
  return { committed }
}

/** When checkers were asked last, by session. */
async function lastQuestions(): Promise<string> {
  const { rows } = await it.sql.query<{ at: string | null }>(
    `select string_agg(pid || ' ' || query_start, ', ' order by pid) as at from pg_stat_activity
     where datname = current_database() and application_name = 'tidewire check' and state like 'idle%'
       and (query like 'select i, seen%' or query like 'select exists%as pending' or query = 'rollback')`,
  )
  return rows[0]!.at ?? ''
}

/** Whether the catalog was asked about a table that the stream has described. */
async function isTableAsked(): Promise<boolean> {
  const { rows } = await it.sql.query(
    `select from pg_stat_activity
     where datname = current_database() and application_name like 'tidewire feed %' and query like '%pg_snapshot_xip%' and pid <> pg_backend_pid()`,
  )
  return rows.length > 0
}

test.each([
  ['functions', ''],
  ['prepared statements', 'revoke temporary, create on database'],
])('a committed row that is not visible yet is delivered once it is, with %s', { timeout: 60_000 }, async (_, revoke) => {
  const database = new URL(it.url).pathname.slice(1)
  if (revoke !== '') await it.sql.query(`${revoke} ${database} from public`)
  const channel = it.open({
    entries: [{ event: '*', schema: 'public', table: 'own' }],
    identity: asRole('authenticated', { sub: ME }),
  })
  await channel.subscribed()
  // The first ones make the check and have the table described, which waits by itself.
  for (const id of [1, 2, 3]) {
    await writer.query(`insert into own values ($1, $2, 'at once')`, [id, ME])
    await channel.received(id)
  }
  const before = await lastQuestions()
  const { committed } = await committedUnseen(`insert into own values (4, '${ME}', 'later')`)
  // Postgres has been asked about the row, and could not see it.
  await expect.poll(lastQuestions, { timeout: 10_000 }).not.toBe(before)
  expect(channel.changes).toHaveLength(3)
  await releaseCommits(it.sql)
  await committed
  await channel.received(4)
  expect(channel.changes[3]!.data.record).toEqual({ id: 4, owner: ME, body: 'later' })
})

test.each([
  ['functions', ''],
  ['prepared statements', 'revoke temporary, create on database'],
])('a visible row is delivered, though others that waited with it are not visible yet, with %s', { timeout: 60_000 }, async (_, revoke) => {
  const database = new URL(it.url).pathname.slice(1)
  if (revoke !== '') await it.sql.query(`${revoke} ${database} from public`)
  await it.sql.query(
    `create table gate (); grant select on gate to authenticated;
     alter policy own on own using (exists (select from gate) is not null and owner = auth.uid())`,
  )
  const entries = [{ event: '*', schema: 'public', table: 'own' }]
  const channel = it.open({ entries, identity: asRole('authenticated', { sub: ME }) })
  await channel.subscribed()
  await writer.query(`insert into own values (1, '${ME}', 'first')`)
  await channel.received(1)
  const keeper = new pg.Client({ connectionString: it.url })
  await keeper.connect()
  try {
    // The session that asks about the second row waits at the gate until the others have come.
    await keeper.query('begin')
    await keeper.query('lock table gate')
    await writer.query(`insert into own values (2, '${ME}', 'second')`)
    await expect.poll(() => waitsAtGate(keeper), { timeout: 10_000 }).toBe(true)
    await writer.query(`insert into own values (3, '${ME}', 'third')`)
    await writer.query(`update own set body = 'and again' where id = 3`)
    const { committed } = await committedUnseen(`insert into own values (4, '${ME}', 'later')`)
    await keeper.query('rollback')
    await channel.received(4)
    expect(await waitsForStandby()).toBe(true)
    await releaseCommits(it.sql)
    await committed
    await channel.received(5)
  } finally {
    await keeper.end()
  }
  expect(channel.changes.map(({ data }) => `${data.type} ${String(data.record?.['id'])}`)).toEqual([
    ...['INSERT 1', 'INSERT 2', 'INSERT 3', 'UPDATE 3', 'INSERT 4'],
  ])
})

test('what a transaction revokes counts for its own rows, though it cannot be seen yet', { timeout: 60_000 }, async () => {
  // The stream says nothing of memberships.
  await it.sql.query(
    `grant joined to joiner; create table open (id int primary key, body text); grant usage on schema public to joined, joiner;
     grant select on open to joined; alter publication supabase_realtime add table open`,
  )
  const channel = it.open({ entries: [{ event: '*', schema: 'public', table: 'open' }], identity: asRole('joiner') })
  await channel.subscribed()
  await writer.query(`insert into open values (1, 'shown')`)
  await channel.received(1)
  const before = await lastVersions()
  const { committed } = await committedUnseen(`begin; revoke joined from joiner; insert into open values (2, 'secret'); commit`)
  await expect.poll(lastVersions, { timeout: 10_000 }).not.toBe(before)
  await releaseCommits(it.sql)
  await committed
  await channel.until(() => channel.changes.length > 1)
  expect(channel.changes[1]!.data.errors).not.toBeNull()
  expect(channel.changes[1]!.text).not.toContain('secret')
})

/** When policy versions were compared last. */
async function lastVersions(): Promise<string> {
  const { rows } = await it.sql.query<{ at: string | null }>(
    `select max(query_start)::text as at from pg_stat_activity
     where datname = current_database() and application_name = 'tidewire check' and query like '%as pending, array(%'`,
  )
  return rows[0]!.at ?? ''
}

async function waitsAtGate(sql: pg.Client): Promise<boolean> {
  const { rowCount } = await sql.query(
    `select from pg_stat_activity where datname = current_database() and application_name = 'tidewire check' and wait_event_type = 'Lock'`,
  )
  return rowCount === 1
}

test('a deleted row is held against what its transaction wrote besides, once that can be seen', { timeout: 60_000 }, async () => {
  await it.sql.query('insert into shared values (1), (2)')
  const channel = it.open({
    entries: [{ event: 'DELETE', schema: 'public', table: 'shared' }],
    identity: asRole('authenticated', { sub: ME }),
    deletes: 'authorized',
  })
  await channel.subscribed()
  // Has the table described, and is not for us.
  await writer.query('delete from shared where id = 1')
  await expect.poll(lastQuestions, { timeout: 10_000 }).not.toBe('')
  const before = await lastQuestions()
  const { committed } = await committedUnseen(`begin; insert into members values ('${ME}'); delete from shared where id = 2; commit`)
  await expect.poll(lastQuestions, { timeout: 10_000 }).not.toBe(before)
  expect(channel.changes).toEqual([])
  await releaseCommits(it.sql)
  await committed
  await channel.received(1)
  expect(channel.changes[0]!.data.old_record).toEqual({ id: 2 })
})

test(
  'a table that was altered by a transaction that is not visible yet is described as it is afterwards',
  { timeout: 60_000 },
  async () => {
    const channel = it.open({ entries: [{ event: '*', schema: 'public', table: 'own' }], identity: asRole('service_role') })
    await it.sql.query('grant all on own to service_role')
    await channel.subscribed()
    const { committed } = await committedUnseen(
      `begin; create type mood as enum ('glad'); alter table own add column mood mood; insert into own values (1, '${ME}', 'x', 'glad'); commit`,
    )
    await expect.poll(isTableAsked, { timeout: 10_000 }).toBe(true)
    await releaseCommits(it.sql)
    await committed
    await channel.received(1)
    expect(channel.changes[0]!.data.record).toEqual({ id: 1, owner: ME, body: 'x', mood: 'glad' })
    expect(channel.changes[0]!.data.columns.at(-1)).toEqual({ name: 'mood', type: 'mood' })
  },
)

test('a transaction is not visible while it runs and while its commit waits, and is after that', { timeout: 60_000 }, async () => {
  const isPending = async (...xids: number[]): Promise<boolean> =>
    (await it.sql.query<{ pending: boolean }>(`select ${notVisibleSql('$1::int8[]')} as pending`, [xids])).rows[0]!.pending
  const xidOf = async (): Promise<number> =>
    Number((await writer.query<{ xid: string }>('select pg_current_xact_id()::text as xid')).rows[0]!.xid)
  const past = await xidOf()
  expect(await isPending()).toBe(false)
  expect(await isPending(3, past)).toBe(false)
  expect(await isPending(past + 1_000)).toBe(true)
  await writer.query(`begin; insert into own values (1, '${ME}', 'x')`)
  const xid = await xidOf()
  expect(await isPending(past, xid)).toBe(true)
  const { committed } = await committedUnseen('commit')
  expect(await isPending(past, xid)).toBe(true)
  let isSeen = false
  const seen = transactionsVisible(it.sql, { xids: [past, xid], waits: true }).then(() => (isSeen = true))
  expect(await isPending(xid)).toBe(true)
  expect(isSeen).toBe(false)
  await releaseCommits(it.sql)
  await committed
  await seen
  expect(await isPending(past, xid)).toBe(false)
})
