/** What makes rows visible to fewer users counts from its commit (rule D5). */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, inFlight, startFeed, type TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { makeConvenient } from '../migrate.ts'

const postgres = usePostgres()
let it: TestFeed

const USER = '11111111-1111-1111-1111-111111111111'

beforeAll(async () => {
  await postgres.admin.query('create role reader nologin; create role readers nologin; create role keeper nologin bypassrls')
  it = await startFeed(
    await postgres.createDatabase(),
    `alter publication supabase_realtime set (publish_via_partition_root = true);
     create table marker (id serial primary key); grant select on marker to service_role;
     alter publication supabase_realtime add table marker;`,
    // What is noticed here is noticed by the checks.
    { roles: ['reader', 'keeper'], refreshIntervalMs: 3_600_000 },
  )
  await it.sql.query('grant usage on schema public to reader, readers, keeper')
})
afterAll(() => it.close())

interface Stricter {
  readonly what: string
  readonly role?: string
  /** `T` is the table (id int primary key, v text), not published yet. */
  readonly before: string
  readonly revoke: string
  /** Defaults to `insert into T (id, v) values (ID, 'secret')`. */
  readonly write?: string
  readonly grant?: string
}

const PARTITIONED = `drop table T; create table T (id int primary key, v text) partition by range (id);
  create table T_part partition of T for values from (0) to (100) partition by range (id);
  create table T_leaf partition of T_part for values from (0) to (100); grant select on T, T_part, T_leaf to reader;`

const STRICTER: readonly Stricter[] = [
  { what: 'row level security', before: 'grant select on T to reader', revoke: 'alter table T enable row level security' },
  { what: 'row level security of a partition root', before: PARTITIONED, revoke: 'alter table T enable row level security' },
  { what: 'a grant on a partition root', before: PARTITIONED, revoke: 'revoke select on T from reader' },
  {
    what: 'a grant on the columns of a partition root',
    before: `${PARTITIONED} revoke select on T from reader; grant select (id, v) on T to reader`,
    revoke: 'revoke select (v) on T from reader',
  },
  { what: 'a grant on the table', before: 'grant select on T to reader', revoke: 'revoke select on T from reader' },
  { what: 'a grant to public', before: 'grant select on T to public', revoke: 'revoke select on T from public' },
  { what: 'a grant on the columns', before: 'grant select (id, v) on T to reader', revoke: 'revoke select (id, v) on T from reader' },
  {
    what: 'usage of the schema',
    before: 'create schema closing; grant usage on schema closing to reader; grant select on T to reader; alter table T set schema closing',
    revoke: 'revoke usage on schema closing from reader',
    write: `insert into closing.T (id, v) values (ID, 'secret')`,
  },
  {
    what: 'the schema',
    before: 'grant select on T to reader',
    revoke: 'create schema closed; alter table T set schema closed',
    write: `insert into closed.T (id, v) values (ID, 'secret')`,
  },
  { what: 'membership', before: 'grant select on T to readers; grant readers to reader', revoke: 'revoke readers from reader' },
  {
    what: 'inheritance of a membership',
    before: 'grant select on T to readers; revoke readers from reader; grant readers to reader; alter role reader inherit',
    revoke: `do $$ begin
      if current_setting('server_version_num')::int >= 160000 then grant readers to reader with inherit false; else alter role reader noinherit; end if;
    end $$`,
  },
  {
    what: 'membership of a role that a policy is for',
    before: `grant select on T to reader; alter table T enable row level security;
      revoke readers from reader; grant readers to reader; alter role reader inherit;
      create policy shown on T for select to readers using (true)`,
    revoke: 'revoke readers from reader',
  },
  { what: 'ownership', before: 'alter table T owner to reader', revoke: 'alter table T owner to postgres' },
  {
    what: 'an attribute of the role',
    role: 'keeper',
    before: 'grant select on T to keeper; alter table T enable row level security',
    revoke: 'alter role keeper nobypassrls',
  },
  {
    what: 'what is granted by the transaction that writes',
    before: 'grant select on T to reader',
    revoke: '',
    write: `begin; revoke select on T from reader; insert into T (id, v) values (ID, 'secret'); commit`,
  },
]

test.each(STRICTER)('$what counts from its commit', async ({ role = 'reader', before, revoke, write }) => {
  const table = `strict_${STRICTER.findIndex((each) => each.before === before && each.revoke === revoke)}`
  const sql = (text: string, id = 0): Promise<unknown> => it.sql.query(text.replaceAll(/\bT(?=\b|_)/g, table).replaceAll('ID', String(id)))
  await sql(`create table T (id int primary key, v text)`)
  await sql(before)
  const { rows } = await it.sql.query<{ name: string; schema: string }>(
    `select c.oid::regclass::text as name, n.nspname as schema from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relname = $1`,
    [table],
  )
  const { name, schema } = rows[0]!
  await it.sql.query(`alter publication supabase_realtime add table ${name}`)
  const channel = it.open({ entries: [{ event: '*', schema, table }], identity: asRole(role) })
  const marker = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: 'marker' }], identity: asRole('service_role') })
  await Promise.all([channel.subscribed(), marker.subscribed()])
  await it.sql.query(`insert into ${name} (id, v) values (1, 'before')`)
  await channel.received(1)
  expect(channel.changes[0]!.data.record).toEqual({ id: 1, v: 'before' })
  await sql(revoke)
  for (const id of [2, 3]) await sql(write ?? `insert into T (id, v) values (ID, 'secret')`, id)
  await it.sql.query('insert into marker default values')
  await marker.received(1)
  expect(channel.changes.map(({ text }) => text).join()).not.toContain('secret')
  for (const each of [channel, marker]) each.handle.close()
  await it.sql.query('alter role keeper bypassrls; alter role reader inherit')
})

test('a column that a role may no longer select is left out from the commit on', async () => {
  await it.sql.query(
    `create table columns (id int primary key, v text, w text); grant select on columns to reader; alter publication supabase_realtime add table columns`,
  )
  const channel = it.open({ entries: [{ schema: 'public', table: 'columns' }], identity: asRole('reader') })
  await channel.subscribed()
  await it.sql.query(
    `revoke select on columns from reader; grant select (id, v) on columns to reader; insert into columns values (1, 'v', 'secret')`,
  )
  await channel.received(1)
  expect(channel.changes[0]!.data.record).toEqual({ id: 1, v: 'v' })
  channel.handle.close()
})

test('a schema that a role may not use: no rows, and a warning that says so; once it may, rows come', async () => {
  await it.sql.query(
    `create table moved (id int primary key, v text); grant select on moved to reader; create schema locked; alter table moved set schema locked;
     alter publication supabase_realtime add table locked.moved`,
  )
  const channel = it.open({ entries: [{ schema: 'locked', table: 'moved' }], identity: asRole('reader') })
  await channel.subscribed()
  await channel.until(() => channel.systems.some(({ message }) => message.includes('your role may not use the schema')))
  const marker = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: 'marker' }], identity: asRole('service_role') })
  await marker.subscribed()
  await it.sql.query(`insert into locked.moved values (1, 'secret'); insert into marker default values`)
  await marker.received(1)
  marker.handle.close()
  await it.sql.query('grant usage on schema locked to reader; alter table locked.moved replica identity full')
  await it.sql.query(`insert into locked.moved values (2, 'shown')`)
  await channel.received(1)
  expect(channel.changes.map(({ data }) => data.record)).toEqual([{ id: 2, v: 'shown' }])
  channel.handle.close()
})

test('a deleted row of a table that got row level security is delivered, and matched, by its key alone (D11)', async () => {
  await it.sql.query(
    `create table roots (id int primary key, v text) partition by range (id); create table roots_1 partition of roots for values from (0) to (100);
     alter table roots replica identity full; alter table roots_1 replica identity full; grant select on roots to reader;
     alter publication supabase_realtime add table roots; insert into roots values (1, 'a'), (2, 'secret'), (3, 'secret')`,
  )
  const all = it.open({ entries: [{ event: 'DELETE', schema: 'public', table: 'roots' }], identity: asRole('reader') })
  const probing = it.open({
    entries: [{ event: 'DELETE', schema: 'public', table: 'roots', filter: 'v=eq.secret' }],
    identity: asRole('reader'),
  })
  await Promise.all([all.subscribed(), probing.subscribed()])
  await it.sql.query('delete from roots where id = 1')
  await all.received(1)
  await it.sql.query('alter table roots enable row level security; create policy one on roots for select using (id < 3)')
  await it.sql.query('delete from roots where id = 2')
  await it.sql.query('delete from roots where id = 3')
  await all.received(3)
  expect(all.changes.map(({ data }) => data.old_record)).toEqual([{ id: 1, v: 'a' }, { id: 2 }, { id: 3 }])
  expect(probing.changes).toEqual([])
  for (const each of [all, probing]) each.handle.close()
})

async function handed(policy: string): Promise<TestChannel> {
  await it.sql.query(
    `drop table if exists handed; create table handed (id int primary key, owner uuid, body text, hidden bool not null default false);
     alter table handed enable row level security; create or replace function hides(wanted int) returns bool language sql stable security definer
       set search_path = public as $$ select hidden from handed where id = wanted $$;
     create policy shown on handed for select to authenticated using (${policy});
     grant select on handed to authenticated; alter publication supabase_realtime add table handed`,
  )
  const channel = it.open({ entries: [{ schema: 'public', table: 'handed' }], identity: asRole('authenticated', { sub: USER }) })
  await channel.subscribed()
  return channel
}

const sent = ({ changes }: TestChannel): unknown[] =>
  changes.map(({ data: { type, record, superseded } }) => [type, record?.['body'], superseded === true])

test('of a row that its transaction hands over, nothing is sent that its new owner was never shown (D5)', async () => {
  const channel = await handed(`owner = coalesce(auth.uid(), owner)`)
  await it.sql.query(
    `begin; insert into handed values (1, null, 'secret'); savepoint one; update handed set body = 'secret too'; release one;
     update handed set owner = '${USER}', body = 'clean'; commit`,
  )
  await it.sql.query(`update handed set body = 'later'`)
  await channel.until(() => channel.changes.at(-1)?.data.record?.['body'] === 'later')
  expect(sent(channel).at(-1)).toEqual(['UPDATE', 'later', false])
  expect(sent(channel).map(([, body]: any) => String(body))).not.toContain('secret')
  expect(channel.changes.map(({ text }) => text).join()).not.toContain('secret')
  channel.handle.close()
})

test('a version that was written over is sent where policies of the row alone are true for it', async () => {
  const channel = await handed('owner = auth.uid()')
  await it.sql.query(`begin; insert into handed values (1, '${USER}', 'first'); update handed set body = 'second'; commit`)
  await channel.received(2)
  expect(sent(channel)).toEqual([
    ['INSERT', 'first', false],
    ['UPDATE', 'second', false],
  ])
  channel.handle.close()
})

test('under policies that read the table itself, a version that was written over comes as the row is now', async () => {
  const channel = await handed('not hides(id)')
  await it.sql.query(`begin; insert into handed values (1, null, 'secret', true); update handed set hidden = false, body = 'clean'; commit`)
  await channel.received(2)
  expect(sent(channel)).toEqual([
    ['INSERT', 'clean', true],
    ['UPDATE', 'clean', false],
  ])
  channel.handle.close()
})

test('a row that was written before its schema was closed is not delivered afterwards', async () => {
  await it.sql.query(
    `create schema later_closed; grant usage on schema later_closed to reader; create table later_closed.rows (id int primary key, v text);
     grant select on later_closed.rows to reader; alter publication supabase_realtime add table later_closed.rows`,
  )
  const channel = it.open({ entries: [{ schema: 'later_closed', table: 'rows' }], identity: asRole('reader') })
  await channel.subscribed()
  await it.sql.query(`insert into later_closed.rows values (1, 'before')`)
  await channel.received(1)
  await inFlight(it, `insert into later_closed.rows values (2, 'secret')`, 'revoke usage on schema later_closed from reader')
  await channel.until(() => channel.systems.length > 1 || channel.changes.length > 1)
  expect(channel.changes.map(({ text }) => text).join()).not.toContain('secret')
  channel.handle.close()
})

test('policies that come to read other tables show no version that was written over, from their commit on', async () => {
  await it.sql.query(
    `create table widening (id int primary key, v text); alter table widening enable row level security;
     create policy own on widening for select using (id > 0); grant select on widening to reader;
     create table allowed (id int); grant select on allowed to reader; insert into allowed values (1), (2), (3);
     alter publication supabase_realtime add table widening`,
  )
  const channel = it.open({ entries: [{ event: 'INSERT', schema: 'public', table: 'widening' }], identity: asRole('reader') })
  await channel.subscribed()
  const writeSql = (id: number): string =>
    `begin; insert into widening values (${id}, 'draft'); update widening set v = 'final' where id = ${id}; commit`
  await it.sql.query(writeSql(1))
  await channel.received(1)
  expect(channel.changes[0]!.data).toMatchObject({ record: { id: 1, v: 'draft' } })
  await inFlight(it, writeSql(2), 'alter policy own on widening using (exists (select from allowed a where a.id = widening.id))')
  await channel.received(2)
  expect(channel.changes[1]!.data).toMatchObject({ record: { id: 2, v: 'final' }, superseded: true })
  channel.handle.close()
})

test('where its filter does not match the row as it is now, its key comes alone', async () => {
  const all = await handed('not hides(id)')
  const entries = [{ event: 'INSERT', schema: 'public', table: 'handed' }]
  const identity = asRole('authenticated', { sub: USER })
  const [exact, asked] = ['body=eq.draft', 'body=like.dra%'].map((filter) => it.open({ entries: [{ ...entries[0], filter }], identity }))
  await Promise.all([exact!.subscribed(), asked!.subscribed()])
  await it.sql.query(`begin; insert into handed values (1, null, 'draft', true); update handed set hidden = false, body = 'clean'; commit`)
  await Promise.all([all.received(2), exact!.received(1), asked!.received(1)])
  for (const { changes } of [exact!, asked!]) expect(changes.map(({ data }) => [data.record, data.superseded])).toEqual([[{ id: 1 }, true]])
  for (const each of [all, exact!, asked!]) each.handle.close()
})

test('a key that is used again does not show what had it before', async () => {
  const channel = await handed(`owner = auth.uid() or hides(id)`)
  await it.sql.query(
    `begin; insert into handed values (1, null, 'secret'); delete from handed; insert into handed values (1, '${USER}', 'clean'); commit`,
  )
  await it.sql.query(`insert into handed values (2, '${USER}', 'last')`)
  await channel.until(() => channel.changes.at(-1)?.data.record?.['body'] === 'last')
  expect(channel.changes.map(({ text }) => text).join()).not.toContain('secret')
  channel.handle.close()
})

test('a hidden row is not shown because a table that inherits has a row with the same key', async () => {
  await it.sql.query(
    `create table parents (id int primary key, v text, shown bool); create table children (primary key (id)) inherits (parents);
     alter table parents enable row level security; create policy shown on parents for select using (shown);
     grant select on parents, children to reader; insert into children values (1, 'child', true);
     alter publication supabase_realtime add table only parents`,
  )
  const channel = it.open({ entries: [{ schema: 'public', table: 'parents' }], identity: asRole('reader') })
  await channel.subscribed()
  await it.sql.query(`insert into parents values (1, 'secret', false), (2, 'shown', true)`)
  await channel.received(1)
  expect(channel.changes.map(({ data }) => data.record)).toEqual([{ id: 2, v: 'shown', shown: true }])
  channel.handle.close()
})

test('a column that the stream did not carry does not make a version superseded', async () => {
  const channel = await handed('not hides(id)')
  await it.sql.query(`insert into handed values (1, null, (select string_agg(md5(n::text), '') from generate_series(1, 500) n))`)
  await it.sql.query(`update handed set owner = '${USER}'`)
  await channel.received(2)
  const { record, superseded } = channel.changes[1]!.data
  expect([record, superseded]).toEqual([{ id: 1, owner: USER, hidden: false }, undefined])
  channel.handle.close()
})

test('an old key that the log does not carry is left out, matches nothing, and that is said (D6)', async () => {
  await it.sql.query(
    `create table ranked (id int, part int, k text not null, v int, primary key (id, part)); create unique index ranked_k on ranked (k, part);
     alter table ranked replica identity using index ranked_k; alter table ranked enable row level security;
     create policy p on ranked for select using (true); grant select on ranked to reader; alter publication supabase_realtime add table ranked`,
  )
  const all = it.open({ entries: [{ schema: 'public', table: 'ranked' }], identity: asRole('reader') })
  const nulls = it.open({ entries: [{ schema: 'public', table: 'ranked', filter: 'id=is.null' }], identity: asRole('reader') })
  await Promise.all([all.subscribed(), nulls.subscribed()])
  const writes = [`insert into ranked values (1, 7, 'a', 1)`, 'update ranked set id = 2', `update ranked set k = 'b'`, 'delete from ranked']
  for (const [index, write] of writes.entries()) {
    await it.sql.query(write)
    await all.received(index + 1)
  }
  expect(all.changes.map(({ data }) => data.old_record)).toEqual([undefined, { part: 7 }, { part: 7 }, { part: 7 }])
  expect(nulls.changes).toEqual([])
  expect(all.systems.at(-1)!.message).toBe('Deletes of public.ranked come without id: its replica identity does not hold the primary key')
  for (const each of [all, nulls]) each.handle.close()
})

test('a name that a table has means that table alone, also once it gets it (D1)', async () => {
  await it.sql.query(
    `create table "userXdata" (id serial primary key); grant select on "userXdata" to reader; alter publication supabase_realtime add table "userXdata"`,
  )
  const channel = it.open({ entries: [{ schema: 'public', table: 'user_data' }], identity: asRole('reader') })
  await channel.subscribed()
  await it.sql.query('insert into "userXdata" default values')
  await channel.received(1)
  await it.sql.query(
    `create table user_data (id serial primary key, extra int); grant select on user_data to reader; alter publication supabase_realtime add table user_data`,
  )
  await it.sql.query('insert into user_data default values; insert into "userXdata" default values; insert into user_data default values')
  const filtered = it.open({ entries: [{ schema: 'public', table: 'user_data', filter: 'extra=eq.1' }], identity: asRole('reader') })
  await filtered.subscribed()
  await it.sql.query('insert into user_data (extra) values (1)')
  await Promise.all([channel.received(4), filtered.received(1)])
  expect(channel.changes.map(({ data }) => data.table)).toEqual(['userXdata', 'user_data', 'user_data', 'user_data'])
  for (const each of [channel, filtered]) each.handle.close()
})

test('the embedded database publishes partitions as the table that they belong to, under its policies', async () => {
  const dev = await startFeed(await postgres.createDatabase(), 'select 1')
  try {
    await makeConvenient(dev.sql)
    await dev.sql.query(
      `create table days (id int, day int, v text, primary key (id, day)) partition by range (day);
       create table days_1 partition of days for values from (0) to (10); alter table days enable row level security;
       create policy shown on days for select using (v <> 'secret')`,
    )
    const identity = asRole('anon')
    const root = dev.open({ entries: [{ schema: 'public', table: 'days' }], identity })
    const all = dev.open({ entries: [{ schema: 'public', table: '*' }], identity })
    await Promise.all([root.subscribed(), all.subscribed()])
    await dev.sql.query(`insert into days values (1, 1, 'secret'), (2, 2, 'shown')`)
    await Promise.all([root.received(1), all.received(1)])
    for (const { changes } of [root, all]) expect(changes.map(({ data }) => [data.table, data.record?.['v']])).toEqual([['days', 'shown']])
    for (const each of [root, all]) each.handle.close()
  } finally {
    await dev.close()
  }
})
