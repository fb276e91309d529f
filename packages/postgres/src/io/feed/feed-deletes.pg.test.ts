/** Channels that ask for the deletes of rows that their user could see, and no others (rule D14). */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, inFlight, startFeed, TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { openPostgresFeed } from './postgres-feed.ts'

const postgres = usePostgres()
let it: TestFeed

const USER_1 = '11111111-1111-1111-1111-111111111111'
const USER_2 = '22222222-2222-2222-2222-222222222222'

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table "odd Name" (id int primary key, owner uuid, "the ""body""" text, n int); alter table "odd Name" replica identity full;
     create table short (id int primary key, owner uuid);
     create table moody (id int primary key, n int); alter table moody replica identity full;
     create function kind("odd Name") returns text language sql stable as $$ select 'kind ' || $1.n $$;
     do $$ declare t text; begin foreach t in array array['odd Name', 'short', 'moody'] loop
       execute format('alter table %I enable row level security', t);
     end loop; end $$;
     create policy own on "odd Name" for select to authenticated using (owner = auth.uid() and kind("odd Name") <> 'kind 9');
     create policy same on "odd Name" as restrictive for select using (n > 0);
     create table linked (like short); alter table linked add primary key (id); alter table linked replica identity full;
     alter table linked enable row level security;
     create policy own on linked for select using (exists (select from short s where s.owner = auth.uid() and s.id <> linked.id));
     create table secret (id int primary key, hidden bool); alter table secret replica identity full; alter table secret enable row level security;
     create function is_hidden(wanted int) returns bool language sql stable security definer set search_path = public
       as $$ select coalesce((select hidden from secret where id = wanted), false) $$;
     create policy seen on secret for select using (not is_hidden(id));
     create policy own on short for select using (owner = auth.uid());
     create policy by_n on moody for select using (10 / n > 0);
     grant all on all tables in schema public to anon, authenticated, service_role;
     alter publication supabase_realtime add table "odd Name", short, moody, linked, secret;`,
  )
})
afterAll(() => it.close())

function watch(table: string, sub: string, more: object = {}): TestChannel {
  const identity = sub === 'service' ? asRole('service_role') : asRole('authenticated', { sub })
  return it.open({ entries: [{ event: 'DELETE', schema: 'public', table, ...more }], deletes: 'authorized', identity })
}

const old = (channel: TestChannel): unknown[] => channel.changes.map(({ data }) => data.old_record)

test('a delete reaches those who could see the row, with all of it, and no others', async () => {
  const mine = watch('odd Name', USER_1)
  const theirs = watch('odd Name', USER_2)
  const filtered = watch('odd Name', USER_1, { filter: 'n=eq.2' })
  const service = watch('odd Name', 'service')
  const allDeletes = it.open({ entries: [{ event: 'DELETE', schema: 'public', table: 'odd Name' }], identity: asRole('anon') })
  const all = [mine, theirs, filtered, service, allDeletes]
  await Promise.all(all.map((channel) => channel.subscribed()))
  const text = `a"b\\,(){} é\n`
  await it.sql.query(`insert into "odd Name" values (1, $1, $2, 1), (2, $1, '', 2), (3, $1, null, 9), (4, $1, 'hidden', 0)`, [USER_1, text])
  await it.sql.query('delete from "odd Name"')
  await it.sql.query(`insert into "odd Name" values (5, $1, 'last', 2)`, [USER_1])
  await it.sql.query('delete from "odd Name"')
  await Promise.all([mine.received(3), filtered.received(2), service.received(5), allDeletes.received(5)])
  const row = (id: number, body: string | null, n: number): object => ({ id, owner: USER_1, 'the "body"': body, n })
  expect(old(mine)).toEqual([row(1, text, 1), row(2, '', 2), row(5, 'last', 2)])
  expect(old(filtered)).toEqual([row(2, '', 2), row(5, 'last', 2)])
  expect(old(theirs)).toEqual([])
  expect(old(service)).toHaveLength(5)
  expect(old(allDeletes)).toEqual([1, 2, 3, 4, 5].map((id) => ({ id })))
  for (const channel of all) channel.handle.close()
})

test('under policies that read other tables, the key of a deleted row comes alone (D14)', async () => {
  const [mine, theirs] = [watch('linked', USER_1), watch('linked', USER_2)]
  await Promise.all([mine.subscribed(), theirs.subscribed()])
  await it.sql.query('insert into short values (90, $1)', [USER_1])
  await it.sql.query('insert into linked values (1, $1), (90, $1)', [USER_2])
  await it.sql.query('delete from linked where id = 90')
  await it.sql.query('delete from linked')
  await mine.received(1)
  expect([old(mine), old(theirs)]).toEqual([[{ id: 1 }], []])
  await it.sql.query('delete from short')
  for (const channel of [mine, theirs]) channel.handle.close()
})

test('under policies that may read the table itself, no delete comes, and that is said (D14)', async () => {
  const mine = watch('secret', USER_1)
  const allDeletes = it.open({ entries: [{ event: 'DELETE', schema: 'public', table: 'secret' }], identity: asRole('anon') })
  await Promise.all([mine.subscribed(), allDeletes.subscribed()])
  await mine.until(() => mine.systems.length === 2)
  expect(mine.systems[1]!.message).toBe(
    'Deletes of public.secret are withheld: to find out who could see a deleted row, its policies must neither read the table itself nor call functions that may read tables',
  )
  await it.sql.query('insert into secret values (1, true), (2, false)')
  await it.sql.query('delete from secret')
  await allDeletes.received(2)
  await it.sql.query(`insert into "odd Name" values (50, $1, 'after', 1)`, [USER_1])
  const later = watch('odd Name', USER_1)
  await later.subscribed()
  await it.sql.query('delete from "odd Name"')
  await later.received(1)
  expect([mine.changes, mine.systems.length]).toEqual([[], 2])
  for (const channel of [mine, allDeletes, later]) channel.handle.close()
})

test('when a table that the policies read comes to inherit from theirs, no delete comes from then on', async () => {
  await it.sql.query(
    `create table kin (id int primary key, v text); alter table kin replica identity full; alter table kin enable row level security;
     create table more_kin (id int not null, v text); insert into more_kin values (0, 'a');
     create policy read on kin for select using (exists (select from more_kin m where m.v = kin.v));
     grant select on kin, more_kin to anon, authenticated; alter publication supabase_realtime add table only kin;
     insert into kin values (1, 'a'), (2, 'a')`,
  )
  const mine = watch('kin', USER_1)
  const allDeletes = it.open({ entries: [{ event: 'DELETE', schema: 'public', table: 'kin' }], identity: asRole('anon') })
  await Promise.all([mine.subscribed(), allDeletes.subscribed()])
  await it.sql.query('delete from only kin where id = 1')
  await mine.received(1)
  await inFlight(it, 'delete from only kin where id = 2', 'alter table more_kin inherit kin')
  await allDeletes.received(2)
  await mine.until(() => mine.systems.length > 1)
  expect(mine.changes.map(({ data }) => data.old_record?.['id'])).toEqual([1])
  for (const channel of [mine, allDeletes]) channel.handle.close()
})

test.each([
  ['in', 'team in (select m.team from teams m where m.member = auth.uid())'],
  ['not in', 'team not in (select m.team from teams m where m.member <> auth.uid())'],
  ['= any', 'team = any (select m.team from teams m where m.member = auth.uid())'],
  ['a row of columns', '(team, true) in (select m.team, true from teams m where m.member = auth.uid())'],
  ['a scalar', 'team = (select max(m.team) from teams m where m.member = auth.uid())'],
])('a policy with a subquery (%s) can be analysed: the key of a deleted row comes', async (_form, condition) => {
  await it.sql.query(
    `drop table if exists of_team, teams; create table teams (team int, member uuid); insert into teams values (1, '${USER_1}'), (2, '${USER_2}');
     create table of_team (id int primary key, team int); alter table of_team replica identity full; alter table of_team enable row level security;
     create policy read on of_team for select using (${condition});
     grant select on of_team, teams to authenticated; alter publication supabase_realtime add table of_team; insert into of_team values (1, 2), (2, 1)`,
  )
  const mine = watch('of_team', USER_1)
  await mine.subscribed()
  await it.sql.query('delete from of_team')
  await mine.received(1)
  expect(old(mine)).toEqual([{ id: 2 }])
  mine.handle.close()
})

test('a table whose log does not hold what was deleted: said at the subscription, and no delete comes', async () => {
  const table = 'short'
  const mine = watch(table, USER_1)
  const allDeletes = it.open({ entries: [{ schema: 'public', table }], identity: asRole('authenticated', { sub: USER_1 }) })
  const inserts = watch(table, USER_1, { event: 'INSERT' })
  await Promise.all([mine, allDeletes, inserts].map((channel) => channel.subscribed()))
  await mine.until(() => mine.systems.length === 2)
  expect(mine.systems[1]).toEqual({
    status: 'error',
    message: `Deletes of public.${table} are withheld: to find out who could see a deleted row, it needs REPLICA IDENTITY FULL`,
    extra: { live: true, code: 'deletes-withheld', hint: expect.stringContaining('replica identity full') as string },
  })
  await it.sql.query(`insert into ${table} (id, owner) values (1, $1)`, [USER_1])
  await Promise.all([allDeletes.received(1), inserts.received(1)])
  await it.sql.query(`delete from ${table}`)
  await allDeletes.received(2)
  expect([mine.changes, mine.systems.length, inserts.systems.length]).toEqual([[], 2, 1])
  for (const channel of [mine, allDeletes, inserts]) channel.handle.close()
})

test('a table that no longer logs what was deleted is reported at the next delete', async () => {
  const mine = watch('moody', USER_1)
  await mine.subscribed()
  await it.sql.query('insert into moody values (1, 1), (2, 1)')
  await it.sql.query('delete from moody where id = 1')
  await mine.received(1)
  await it.sql.query('alter table moody replica identity default')
  await it.sql.query('delete from moody')
  await mine.until(() => mine.systems.length === 2)
  expect(mine.systems[1]!.message).toContain('Deletes of public.moody are withheld')
  expect(mine.changes).toHaveLength(1)
  mine.handle.close()
  await it.sql.query('alter table moody replica identity full')
})

test('a policy that fails for one row withholds that row alone, and says so', async () => {
  const mine = watch('moody', USER_1)
  await mine.subscribed()
  await it.sql.query('insert into moody values (1, 1), (2, 0), (3, 1)')
  await it.sql.query('delete from moody')
  await mine.received(2)
  expect(old(mine)).toEqual([
    { id: 1, n: 1 },
    { id: 3, n: 1 },
  ])
  await mine.until(() => mine.systems.length === 2)
  expect(mine.systems[1]!.message).toBe('Changes of public.moody are withheld: its policies failed for you')
  mine.handle.close()
})

test('what was deleted while a channel was away is replayed to those who could see it', async () => {
  const watching = { entries: [{ event: 'DELETE', schema: 'public', table: 'odd Name' }], deletes: 'authorized', positions: true } as const
  const first = it.open({ ...watching, identity: asRole('authenticated', { sub: USER_1 }) })
  await first.subscribed()
  const { position } = first.systems[0]!.extra as { position: string }
  first.handle.close()
  await it.sql.query(`insert into "odd Name" values (7, $1, 'x', 1), (8, $2, 'x', 1)`, [USER_1, USER_2])
  await it.sql.query('delete from "odd Name"')
  const again = it.open({ ...watching, since: position, identity: asRole('authenticated', { sub: USER_1 }) })
  await again.subscribed()
  expect(again.systems.at(-1)?.extra).toMatchObject({ recovered: true })
  expect(again.changes.map(({ data }) => data.old_record?.['id'])).toEqual([7])
  again.handle.close()
})

test('policies of other commands and other roles do not count, and an owner needs none', async () => {
  await it.sql.query(
    `create table closed (id int primary key); create table owned (id int primary key);
     alter table closed replica identity full; alter table closed enable row level security;
     alter table owned replica identity full; alter table owned enable row level security;
     create policy to_write on closed for update to authenticated using (true);
     create policy for_others on closed for select to anon using (true);
     grant select on closed to authenticated, anon; alter table owned owner to authenticated;
     alter publication supabase_realtime add table closed, owned;
     insert into closed values (1); insert into owned values (1)`,
  )
  const entries = [{ event: 'DELETE', schema: 'public', table: 'closed' }]
  const [closed, others] = [watch('closed', USER_1), it.open({ entries, deletes: 'authorized', identity: asRole('anon') })]
  const owner = watch('owned', USER_1)
  const all = [closed, others, owner]
  await Promise.all(all.map((channel) => channel.subscribed()))
  await it.sql.query('delete from closed')
  await it.sql.query('delete from owned')
  await Promise.all([others.received(1), owner.received(1)])
  expect(all.map(old)).toEqual([[], [{ id: 1 }], [{ id: 1 }]])
  for (const channel of all) channel.handle.close()
})

test('a user whose policies take too long is notified, and no other waits for it', async () => {
  const { url, sql } = it
  await sql.query(
    `create table many (n int); insert into many select generate_series(1, 2000);
     create table tried (id int primary key); alter table tried replica identity full; alter table tried enable row level security;
     create policy tried on tried for select to authenticated using (
       case when auth.jwt() ->> 'slow' = 'yes' then (select count(*) from many a, many b, many c where a.n + b.n + c.n = tried.id) >= 0 else true end);
     grant select on tried, many to authenticated; alter publication supabase_realtime add table tried; insert into tried values (1), (2), (3)`,
  )
  const hasty = openPostgresFeed({ databaseUrl: url, identityTimeoutMs: 500, slotBase: 'hasty' })
  try {
    const entries = [{ event: 'DELETE', schema: 'public', table: 'tried' }]
    const open = (slow: string): TestChannel =>
      new TestChannel(hasty, { entries, deletes: 'authorized', identity: asRole('authenticated', { slow }) })
    const [quick, slow] = [open('no'), open('yes')]
    await Promise.all([quick.subscribed(), slow.subscribed()])
    await sql.query('delete from tried where id <> 2')
    await quick.received(2)
    await slow.until(() => slow.systems.length >= 2)
    expect(slow.systems[1]!.message).toBe('Changes of public.tried are withheld: its policies took too long for you')
    await sql.query('delete from tried')
    await quick.received(3)
    expect(slow.changes).toEqual([])
    expect(quick.systems).toHaveLength(1)
  } finally {
    await hasty.close()
  }
})
