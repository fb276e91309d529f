import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type pg from 'pg'
import { startFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { publishedSql } from './published-sql.ts'

const postgres = usePostgres()
let sql: pg.Client

beforeAll(async () => {
  sql = await postgres.connect(await postgres.createDatabase())
  await sql.query(`create schema s; create schema "odd name";
    create table plain (id int primary key); create table s.plain (id int primary key); create table "odd name"."a b" (id int);
    create unlogged table unlogged (id int); create view seen as select 1 as one; create materialized view kept as select 1 as one;
    create table root (id int, at int) partition by range (at);
    create table root_1 partition of root for values from (0) to (10);
    create table s.root_2 partition of root for values from (10) to (20) partition by range (id);
    create table root_2_1 partition of s.root_2 for values from (0) to (10);
    create table empty (id int) partition by range (id);
    create table parent (id int); create table child () inherits (parent)`)
  return () => sql.end()
})

const definitions = [
  '',
  'for table plain, s.plain, "odd name"."a b"',
  'for table plain (id) where (id > 3)',
  'for table parent',
  'for table only parent',
  'for table root',
  'for table s.root_2',
  'for table root, s.root_2, root_2_1',
  'for table root_1, empty',
  'for all tables',
  'for tables in schema s',
  'for tables in schema s, "odd name", table root',
]

test.each(definitions.flatMap((definition) => [false, true].map((root) => [definition, root] as const)))(
  'publishes what the function of Postgres says: %s, by the root: %s',
  async (definition, root) => {
    if (postgres.version < 15 && /schema|where/.test(definition)) return
    await sql.query('drop publication if exists p, q')
    await sql.query(`create publication p ${definition} with (publish_via_partition_root = ${root}); create publication q for table plain`)
    const ours = `select pubname, relid from ${publishedSql(`array['p', 'q']`, postgres.version >= 15)} t join pg_publication on oid = pub order by 1, 2`
    // Version 14 names some twice.
    const theirs = `select distinct p.pubname, t.relid from unnest('{p,q}'::text[]) p (pubname), pg_get_publication_tables(p.pubname) t order by 1, 2`
    expect((await sql.query(ours)).rows).toEqual((await sql.query(theirs)).rows)
  },
)

test('a locked table keeps no change of another back, and no channel', { timeout: 40_000 }, async () => {
  const it = await startFeed(
    await postgres.createDatabase(),
    `create table notes (id serial primary key, body text); create table busy (id serial primary key);
     grant all on all tables in schema public to anon, authenticated, service_role; alter publication supabase_realtime add table notes, busy`,
    { refreshIntervalMs: 200, checkIntervalMs: 200 },
  )
  onTestFinished(() => it.close())
  const notes = { event: '*', schema: 'public', table: 'notes' }
  const before = it.open({ entries: [notes] })
  await before.subscribed()
  const locker = await postgres.connect(it.url)
  const { rows } = await locker
    .query<{ at: string }>('begin; lock table busy in access exclusive mode; select clock_timestamp()::text as at')
    .then((results) => (results as unknown as pg.QueryResult<{ at: string }>[]).at(-1)!)
  // What the feed and the stream read of the publication every now and then was asked for while the table is locked.
  const asked = `select count(distinct application_name)::int as n from pg_stat_activity
    where datname = current_database() and query like '%pg_publication_rel%' and pid <> pg_backend_pid() and query_start > $1`
  await expect
    .poll(async () => (await it.sql.query<{ n: number }>(asked, [rows[0]!.at])).rows[0]!.n, { timeout: 10_000, interval: 1 })
    .toBe(2)
  await it.sql.query(`alter table notes add column n int; insert into notes (body) values ('meanwhile')`)
  await before.until(() => before.changes.length === 1, 'the change', 3_000)
  const late = it.open({ entries: [notes] })
  await late.until(() => late.ready, 'the subscription', 3_000)
  await locker.query('rollback')
  await locker.end()
})
