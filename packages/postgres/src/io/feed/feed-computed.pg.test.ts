/** What the stream does not hold: generated columns that are not published, and types with their own cast to JSON. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asRole, startFeed, TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { openPostgresFeed } from './postgres-feed.ts'

const postgres = usePostgres()
const ME = '11111111-1111-1111-1111-111111111111'
const OTHER = '22222222-2222-2222-2222-222222222222'
const me = asRole('authenticated', { sub: ME })

/** By name, its policy; all have the same columns. */
const TABLES: Readonly<Record<string, string | null>> = {
  bare: null,
  owned: 'owner = auth.uid()',
  shared: `owner = auth.uid() or auth.jwt() ->> 'sub' is not null`,
  gated: 'owner = auth.uid() and passes_gate(id)',
}

let it: TestFeed

beforeAll(async () => {
  // Before version 18 all generated columns are stored; there, what does not say so is virtual, and not published either.
  const virtual = postgres.version >= 18 ? 'virtual' : 'stored'
  const unpublished = postgres.version >= 18 ? 'alter publication supabase_realtime set (publish_generated_columns = none);' : ''
  it = await startFeed(
    await postgres.createDatabase(),
    `${unpublished} create extension hstore;
     create function passes_gate(id int) returns boolean language plpgsql as
       'begin if id >= 100 then perform pg_advisory_xact_lock_shared(1); end if; return true; end';
     create schema elsewhere; grant usage on schema elsewhere to authenticated; create type elsewhere.unit as enum ('C', 'F', 'X');
     create function unit_json(elsewhere.unit) returns json language plpgsql immutable as
       $$ begin if $1 = 'X' then raise 'no such unit'; end if; return json_build_object('unit', $1::text); end $$;
     create cast (elsewhere.unit as json) with function unit_json(elsewhere.unit);
     create domain warm as elsewhere.unit; create type pair as (u elsewhere.unit, n int);
     ${Object.entries(TABLES)
       .map(
         ([name, policy]) => `
     create table ${name} (
       id int primary key, owner uuid, n int, h hstore, hs hstore[], t elsewhere.unit, w warm, p pair, big text,
       twice int generated always as (n * 2) stored, thrice int generated always as (n * 3) ${virtual},
       size int generated always as (length(big)) stored, hidden int generated always as (n * 5) stored);
     alter table ${name} alter big set storage external;
     grant insert, update, delete, select (id, owner, n, h, hs, t, w, p, big, twice, thrice, size) on ${name} to authenticated;
     alter publication supabase_realtime add table ${name};
     ${policy === null ? '' : `alter table ${name} enable row level security; create policy p on ${name} for select to authenticated using (${policy});`}`,
       )
       .join('\n')}
     create table mixed (id int primary key, n int, big text, total int generated always as (n + length(big)) stored);
     alter table mixed alter big set storage external; grant select on mixed to authenticated; alter publication supabase_realtime add table mixed;
     create table old (id int primary key, owner uuid, h hstore); create table old_own (like old including all);
     alter table old replica identity full; alter table old_own replica identity full;
     grant select on old, old_own to authenticated; alter publication supabase_realtime add table old, old_own;
     alter table old_own enable row level security; create policy p on old_own for select to authenticated using (owner = auth.uid())`,
    { onFault: (fault) => console.log(JSON.stringify(fault)) },
  )
})
afterAll(() => it.close())

const of = (table: string, more: object = {}): object => ({ event: '*', schema: 'public', table, ...more })

const VALUES = `'a=>1,b=>NULL', array['k=>v']::hstore[], 'C', 'F', row('C', 3)`

/** What Postgres itself makes of the row, for a role that may not read `hidden`. */
async function rowOf(table: string, id: number): Promise<unknown> {
  const { rows } = await it.sql.query<{ row: unknown }>(`select to_jsonb(r) - 'hidden' as row from ${table} r where id = ${id}`)
  return rows[0]?.row
}

async function opened(table: string, more: Parameters<TestFeed['open']>[0] | object = {}): Promise<TestChannel> {
  const channel = it.open({ entries: [of(table)], identity: me, ...more })
  await channel.subscribed()
  return channel
}

describe.each(Object.keys(TABLES))('a table that is %s', (table) => {
  test('comes as to_jsonb writes it, inserted and updated', async () => {
    const channel = await opened(table)
    await it.sql.query(`insert into ${table} values (1, '${ME}', 7, ${VALUES})`)
    await channel.received(1)
    expect(channel.changes[0]!.data.record).toEqual(await rowOf(table, 1))
    expect(channel.changes[0]!.data.record).toMatchObject({ twice: 14, thrice: 21, h: { a: '1', b: null }, t: { unit: 'C' } })
    await it.sql.query(`update ${table} set n = 8, h = 'c=>3' where id = 1`)
    await channel.received(2)
    expect(channel.changes[1]!.data.record).toEqual(await rowOf(table, 1))
    expect(channel.changes[1]!.data.record).toMatchObject({ twice: 16, h: { c: '3' } })
    channel.handle.close()
  })

  test('what was not selected, or may not be read, does not come', async () => {
    const channel = await opened(table, { entries: [of(table, { select: ['id', 'thrice'] }), of(table, { select: ['h'] })] })
    await it.sql.query(`insert into ${table} values (2, '${ME}', 1, ${VALUES})`)
    await channel.received(2)
    expect(channel.changes.map(({ data }) => data.record)).toEqual([
      { id: 2, thrice: 3 },
      { id: 2, h: { a: '1', b: null } },
    ])
    channel.handle.close()
  })

  test('what was missed comes the same, as long as it was not written again', async () => {
    const first = await opened(table, { positions: true })
    await it.sql.query(`insert into ${table} values (3, '${ME}', 1, ${VALUES})`)
    await first.received(1)
    const since = first.changes[0]!.data.position!
    first.handle.close()
    await it.sql.query(`insert into ${table} values (4, '${ME}', 2, ${VALUES})`)
    const again = await opened(table, { positions: true, since })
    await again.received(1)
    expect(again.changes[0]!.data.record).toEqual(await rowOf(table, 4))
    again.handle.close()
  })

  test('a cast that fails costs no channel anything', async () => {
    const channel = await opened(table)
    await it.sql.query(`insert into ${table} (id, owner, t) values (5, '${ME}', 'X'), (6, '${ME}', 'C')`)
    await channel.received(2)
    expect(channel.changes.map(({ data }) => data.record!['t'])).toEqual(['X', { unit: 'C' }])
    channel.handle.close()
  })
})

test('old rows are written with the casts of their types too', async () => {
  const channel = await opened('old')
  const allowed = await opened('old_own', { deletes: 'authorized' })
  for (const [table, watching] of [
    ['old', channel],
    ['old_own', allowed],
  ] as const) {
    // A row that is gone by the time it is looked at is not delivered.
    await it.sql.query(`insert into ${table} values (1, '${ME}', 'a=>1')`)
    await watching.received(1)
    await it.sql.query(`update ${table} set h = 'z=>1' where id = 1`)
    await watching.received(2)
    await it.sql.query(`delete from ${table} where id = 1`)
  }
  await Promise.all([channel.received(3), allowed.received(3)])
  expect(channel.changes.map(({ data }) => data.old_record?.['h'])).toEqual([undefined, { a: '1' }, { z: '1' }])
  expect(allowed.changes[2]!.data.old_record).toEqual({ id: 1, owner: ME, h: { z: '1' } })
  for (const each of [channel, allowed]) each.handle.close()
})

test('a row that was written again after it was looked at is not read for those who saw what it was', async () => {
  const gate = new pg.Client({ connectionString: it.url })
  await gate.connect()
  try {
    const channel = await opened('gated')
    const other = await opened('gated', { identity: asRole('authenticated', { sub: OTHER }) })
    await it.sql.query(`insert into gated (id, owner, n, big) values (100, '${ME}', 1, repeat('x', 5000))`)
    await channel.received(1)
    await gate.query('begin; select pg_advisory_xact_lock(1)')
    // What is not written again the stream does not repeat, when it is large.
    await it.sql.query(`update gated set n = 2 where id = 100`)
    const waits = async (): Promise<boolean> =>
      (await it.sql.query(`select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`)).rows.length > 0
    await expect.poll(waits, { timeout: 10_000 }).toBe(true)
    // The policy is being asked about the row as it was. Now it becomes another user's, with something in it.
    await it.sql.query(`update gated set owner = '${OTHER}', n = 1000, big = repeat('y', 7000) where id = 100`)
    await gate.query('commit')
    await channel.received(2)
    expect(channel.changes[1]!.data.record).toMatchObject({ id: 100, n: 2, twice: 4, thrice: 6 })
    expect(channel.changes[1]!.data.record).not.toHaveProperty('size')
    await other.until(() => other.changes.some(({ data }) => data.record?.['n'] === 1000))
    expect(other.changes.at(-1)!.data.record).toMatchObject({ n: 1000, twice: 2000, thrice: 3000, size: 7000 })
    expect(channel.changes).toHaveLength(2)
    for (const each of [channel, other]) each.handle.close()
  } finally {
    await gate.end()
  }
})

test('a generated column whose source the stream does not repeat is read from the row', async () => {
  const channel = await opened('owned')
  await it.sql.query(`insert into owned (id, owner, n, big) values (20, '${ME}', 1, repeat('x', 5000))`)
  await it.sql.query(`update owned set n = 2 where id = 20`)
  await channel.received(2)
  expect(channel.changes[1]!.data.record).toMatchObject({ n: 2, twice: 4, size: 5000 })
  expect(channel.changes[1]!.data.record).not.toHaveProperty('big')
  channel.handle.close()
})

test('a generated column is not that of a later row of the same transaction', async () => {
  const channel = await opened('mixed')
  await it.sql.query(`insert into mixed (id, n, big) values (1, 1, repeat('x', 5000))`)
  await it.sql.query(`begin; update mixed set n = 2; update mixed set n = 3; commit`)
  await channel.received(3)
  expect(channel.changes.map(({ data }) => [data.record?.['n'], data.record?.['total']])).toEqual([
    [1, 5001],
    [2, undefined],
    [3, 5003],
  ])
  channel.handle.close()
})

test('a login without any right on the tables makes them all the same', async () => {
  const { rows } = await it.sql.query<{ name: string }>('select current_database() as name')
  await it.sql.query(`create role plain login replication noinherit password 'plain'; grant anon, authenticated, service_role to plain;
    grant create on database ${rows[0]!.name} to plain; grant all on schema realtime, tidewire, auth to plain`)
  const url = new URL(it.url)
  ;[url.username, url.password] = ['plain', 'plain']
  const feed = openPostgresFeed({ databaseUrl: url.href, temporarySlot: true })
  try {
    for (const table of ['bare', 'shared']) {
      const channel = new TestChannel(feed, { entries: [of(table)], identity: me })
      await channel.subscribed()
      await it.sql.query(`insert into ${table} values (30, '${ME}', 7, ${VALUES}, 'big')`)
      await channel.received(1)
      expect(channel.changes[0]!.data.record).toEqual(await rowOf(table, 30))
      channel.handle.close()
    }
  } finally {
    await feed.close()
  }
})

test('deletes are decided by policies that read a generated column, published or not', async () => {
  // From version 18 on, a row with one that is not published cannot be deleted where all of it is its replica identity.
  if (postgres.version >= 18) await it.sql.query('alter publication supabase_realtime set (publish_generated_columns = stored)')
  await it.sql.query(
    `create table deleted (id int primary key, owner uuid, n int, twice int generated always as (n * 2) stored);
     alter table deleted replica identity full; grant select on deleted to authenticated; alter table deleted enable row level security;
     create policy p on deleted for select to authenticated using (owner = auth.uid() and deleted.twice > 10);
     alter publication supabase_realtime add table deleted;
     insert into deleted values (1, '${ME}', 5), (2, '${ME}', 6), (3, '${OTHER}', 7), (4, '${ME}', 8)`,
  )
  const channel = await opened('deleted', { deletes: 'authorized' })
  await it.sql.query('delete from deleted')
  await channel.received(2)
  expect(channel.changes.map(({ data }) => data.old_record)).toEqual([
    { id: 2, owner: ME, n: 6, twice: 12 },
    { id: 4, owner: ME, n: 8, twice: 16 },
  ])
  channel.handle.close()
})
