import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { openPostgresFeed } from './postgres-feed.ts'

const postgres = usePostgres()
let it: TestFeed
const faults: string[] = []

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table notes (id serial primary key, body text, n int);
     create table no_key (body text); alter table no_key replica identity full;
     create table own (id serial primary key, owner uuid, body text);
     alter table own enable row level security;
     create policy own on own for select to authenticated using (owner = auth.uid());
     create table moody (id serial primary key, body text);
     create function mood() returns bool language plpgsql stable as $$ begin
       if auth.jwt() ->> 'mood' = 'bad' then raise exception 'the secret is %', 42; end if;
       if auth.jwt() ->> 'mood' = 'slow' then perform pg_sleep(30); end if;
       return true;
     end $$;
     alter table moody enable row level security;
     create policy mood on moody for select using (mood());
     create table poisoned (id int primary key, n int); alter table poisoned enable row level security;
     create policy poisoned on poisoned for select using (auth.uid() is not null and 1 / n <> 0);
     create table full_own (id int primary key, owner uuid, secret text, n int); alter table full_own replica identity full;
     alter table full_own enable row level security;
     create policy own on full_own for select to authenticated using (owner = auth.uid());
     create table made (id int primary key, n int, twice int generated always as (n * 2) stored, big text);
     create table pairs (a int, b text, c bool, body text, primary key (a, b, c));
     alter table pairs enable row level security;
     create policy pairs on pairs for select using (body = auth.jwt() ->> 'may');
     grant all on all tables in schema public to anon, authenticated, service_role;
     alter publication supabase_realtime add table notes, no_key, own, moody, full_own, made, pairs, poisoned;`,
    { identityTimeoutMs: 200, onFault: ({ kind, message }) => faults.push(`${kind}: ${message}`) },
  )
})
afterAll(() => it.close())

const of = (table: string, more: object = {}): object => ({ event: '*', schema: 'public', table, ...more })
const USER_1 = '11111111-1111-1111-1111-111111111111'
const USER_2 = '22222222-2222-2222-2222-222222222222'
const user = (sub: string, more = {}): ReturnType<typeof asRole> => asRole('authenticated', { sub, ...more })

test('a role that may not read gets an error instead of the row, and only what it may read otherwise', async () => {
  const channel = it.open({ entries: [of('notes')] })
  const other = it.open({ entries: [of('notes')], identity: user(USER_1) })
  await Promise.all([channel.subscribed(), other.subscribed()])
  await it.sql.query('revoke select on notes from anon; grant select (id, n) on notes to anon')
  await it.sql.query(`insert into notes (body, n) values ('hidden', 1)`)
  await channel.received(1)
  expect(channel.changes[0]!.data).toMatchObject({ record: { n: 1, id: 1 }, columns: [{ name: 'id' }, { name: 'n' }] })
  expect(channel.changes[0]!.text).not.toContain('hidden')
  await it.sql.query('revoke select (id, n) on notes from anon')
  await it.sql.query('update notes set n = 2')
  await it.sql.query('delete from notes')
  await Promise.all([channel.received(3), other.received(3)])
  expect(channel.changes[1]!.text).toBe(
    '{"data":{"table":"notes","type":"UPDATE","record":{},"columns":[],"errors":["Error 401: Unauthorized"],"schema":"public","commit_timestamp":null,"old_record":{}},"ids":[1]}',
  )
  expect(channel.changes[2]!.data).toEqual({
    ...{ table: 'notes', type: 'DELETE', columns: [], errors: ['Error 401: Unauthorized'], schema: 'public', commit_timestamp: null },
    old_record: {},
  })
  expect(other.changes.map(({ data }) => data.errors)).toEqual([null, null, null])
  await it.sql.query('grant select on notes to anon')
  for (const each of [channel, other]) each.handle.close()
})

test('a filter on a column that may no longer be read says nothing about it', async () => {
  const channel = it.open({ entries: [of('notes', { filter: 'body=eq.guess' })] })
  await channel.subscribed()
  await it.sql.query('revoke select on notes from anon; grant select (id, n) on notes to anon')
  await it.sql.query(`insert into notes (body) values ('guess'), ('other')`)
  await channel.received(2)
  expect(channel.changes.map(({ data }) => [data.record, data.errors])).toEqual([
    [{}, ['Error 401: Unauthorized']],
    [{}, ['Error 401: Unauthorized']],
  ])
  await it.sql.query('grant select on notes to anon')
  channel.handle.close()
})

test('a table without primary key', async () => {
  const channel = it.open({ entries: [of('no_key')] })
  await channel.subscribed()
  await it.sql.query(`insert into no_key values ('x')`)
  await it.sql.query('delete from no_key')
  await channel.received(2)
  expect(channel.changes[0]!.text).toBe(
    '{"data":{"table":"no_key","type":"INSERT","record":{},"columns":[],"errors":["Error 400: Bad Request, no primary key"],"schema":"public","commit_timestamp":null},"ids":[1]}',
  )
  expect(channel.changes[1]!.data.old_record).toEqual({ body: 'x' })
  channel.handle.close()
})

test('large rows leave out what is large, at any size', async () => {
  const channel = it.open({ entries: [of('notes')] })
  await channel.subscribed()
  for (const size of [1_100_000, 5_000_000]) await it.sql.query(`insert into notes (body, n) values (repeat('x', $1), 42)`, [size])
  await it.sql.query(`insert into notes (body) values (repeat('"', 600000))`)
  await it.sql.query(`update notes set n = 43 where n = 42`)
  await channel.received(5)
  expect(channel.changes.map(({ data: { record, errors } }) => [Object.keys(record!), errors])).toEqual([
    [['n', 'id'], ['Error 413: Payload Too Large']],
    [['n', 'id'], ['Error 413: Payload Too Large']],
    [['id'], ['Error 413: Payload Too Large']],
    // The large value was not touched, so the stream leaves it out.
    [['n', 'id'], null],
    [['n', 'id'], null],
  ])
  await it.sql.query('truncate notes')
  channel.handle.close()
})

test('under policies, an old row comes whole where they are true for it (D6), a deleted one by its key', async () => {
  const one = it.open({
    entries: [of('full_own'), of('full_own', { filter: 'secret=eq.s' }), of('full_own', { filter: 'id=eq.1' })],
    identity: user(USER_1),
  })
  const service = it.open({ entries: [of('full_own')], identity: asRole('service_role') })
  await Promise.all([one.subscribed(), service.subscribed()])
  await it.sql.query(`insert into full_own values (1, $1, 's', 1)`, [USER_1])
  await Promise.all([one.received(1), service.received(1)])
  await it.sql.query('update full_own set n = 2')
  await Promise.all([one.received(2), service.received(2)])
  await it.sql.query('delete from full_own')
  await Promise.all([one.received(3), service.received(3)])
  expect(one.changes.map(({ ids, data }) => [ids, data.old_record])).toEqual([
    [[1, 2, 3], undefined],
    [[1, 2, 3], { id: 1, owner: USER_1, secret: 's', n: 1 }],
    [[1, 3], { id: 1 }],
  ])
  expect(service.changes.map(({ data }) => data.old_record)).toEqual([undefined, { id: 1, owner: USER_1, secret: 's', n: 1 }, { id: 1 }])
  for (const each of [one, service]) each.handle.close()
})

test('a policy that fails or takes too long for one user costs no other anything', async () => {
  const good = it.open({ entries: [of('moody')], identity: user(USER_1) })
  const bad = it.open({ entries: [of('moody')], identity: user(USER_2, { mood: 'bad' }) })
  const slow = it.open({ entries: [of('moody')], identity: user(USER_2, { mood: 'slow' }) })
  await Promise.all([good, bad, slow].map((channel) => channel.subscribed()))
  await it.sql.query(`insert into moody (body) values ('first')`)
  await Promise.all([good.received(1), bad.until(() => bad.systems.length === 2), slow.until(() => slow.systems.length >= 2)])
  expect(bad.systems[1]).toEqual({
    status: 'error',
    message: 'Changes of public.moody are withheld: its policies failed for you',
    extra: { live: true, code: 'policy-failed', hint: expect.any(String) as string },
  })
  expect(slow.systems[1]).toEqual({
    status: 'error',
    message: 'Changes of public.moody are withheld: its policies took too long for you',
    extra: { live: true, code: 'policy-failed', hint: expect.any(String) as string },
  })
  expect(faults.join()).toContain('the secret is 42')
  // From now on no other channel waits for them.
  const begun = Date.now()
  for (let n = 0; n < 20; n++) {
    await it.sql.query('insert into moody (body) values ($1)', [`n${n}`])
    await good.received(n + 2)
  }
  expect(Date.now() - begun).toBeLessThan(3_000)
  expect([bad.changes, slow.changes]).toEqual([[], []])
  // And a user in a better mood gets changes again.
  bad.handle.setIdentity(user(USER_2))
  await bad.until(() => bad.systems.length === 3)
  await it.sql.query(`insert into moody (body) values ('better')`)
  await bad.received(1)
  for (const each of [good, bad, slow]) each.handle.close()
})

test('filters that take long hold up no other filter that only Postgres can evaluate', { timeout: 60_000 }, async () => {
  const pattern = (last: number): string => String.raw`body=match."^(.*)(.*)(.*)(.*)(.*)\\1\\2\\3\\4\\5$|^${last}$"`
  const slow = [1, 2, 3, 4, 5, 6].map((last) => it.open({ entries: [of('notes', { filter: pattern(last) })], identity: user(USER_1) }))
  await Promise.all(slow.map((channel) => channel.subscribed()))
  const fast = it.open({ entries: [of('notes', { filter: 'body=like.c4%' })], identity: user(USER_2) })
  await fast.subscribed()
  const notified = (): number =>
    slow.filter(({ systems }) => systems.some(({ message }) => message.includes('compared with your filter'))).length
  await it.sql.query(`insert into notes (id, body) values (1000, md5('1') || md5('2') || md5('3') || md5('4'))`)
  await fast.received(1)
  expect(notified()).toBe(0)
  await expect.poll(notified, { timeout: 30_000 }).toBe(slow.length)
  for (const channel of [...slow, fast]) channel.handle.close()
  await it.sql.query('delete from notes')
})

test('a new token decides from then on', async () => {
  const channel = it.open({ entries: [of('own')], identity: user(USER_1) })
  await channel.subscribed()
  await it.sql.query(`insert into own (owner, body) values ($1, 'one')`, [USER_1])
  await channel.received(1)
  channel.handle.setIdentity(user(USER_2))
  await it.sql.query(`insert into own (owner, body) values ($1, 'not mine any more'), ($2, 'two')`, [USER_1, USER_2])
  await channel.received(2)
  await channel.until(() => channel.systems.length === 2)
  expect(channel.changes.map(({ data }) => data.record?.['body'])).toEqual(['one', 'two'])
  expect(channel.systems[1]).toEqual({ status: 'ok', message: 'Subscribed to PostgreSQL' })
  channel.handle.setIdentity(asRole('nosuch'))
  await channel.until(() => channel.systems.length === 3)
  expect(channel.systems[2]!.message).toContain('ERROR 42704 (undefined_object) role "nosuch" does not exist')
  await it.sql.query('truncate own')
  channel.handle.close()
})

test('tokens that change while changes come: nothing of another user, nothing lost', async () => {
  const channel = it.open({ entries: [of('own')], identity: user(USER_1) })
  const service = it.open({ entries: [of('own')], identity: asRole('service_role') })
  await Promise.all([channel.subscribed(), service.subscribed()])
  let current = USER_1
  for (let n = 0; n < 60; n++) {
    if (n % 4 === 3) channel.handle.setIdentity(user((current = current === USER_1 ? USER_2 : USER_1)))
    const before = channel.changes.length
    await it.sql.query(`insert into own (owner, body) values ($1, $3), ($2, $3)`, [USER_1, USER_2, `n${n}`])
    await channel.received(before + 1)
    // A transaction may come in parts: its second row too is decided before the token changes.
    await service.received(2 * (n + 1))
    expect(channel.changes.slice(before).map(({ data }) => data.record?.['owner'])).toEqual([current])
  }
  for (const each of [channel, service]) each.handle.close()
})

test('selections, several entries and wildcards of one channel', async () => {
  const channel = it.open({
    entries: [
      of('notes', { select: ['body'] }),
      of('notes', { select: ['n', 'id'] }),
      of('notes'),
      of('notes', { select: [] }),
      { schema: 'public' },
      { event: 'DELETE', table: 'n_tes' },
    ],
  })
  const legacy = it.open({ entries: [{ schema: 'public', table: 'notes' }], legacy: true })
  await Promise.all([channel.subscribed(), legacy.subscribed()])
  await it.sql.query(`insert into notes (id, body, n) values (7, 'sel', 1)`)
  await Promise.all([channel.received(3), legacy.received(1)])
  expect(channel.changes.map(({ ids, data }) => [ids, data.record]).toSorted()).toEqual([
    [[1], { id: 7, body: 'sel' }],
    [[2], { id: 7, n: 1 }],
    [[3, 4, 5], { id: 7, n: 1, body: 'sel' }],
  ])
  expect(legacy.changes[0]!.event).toBe('INSERT')
  expect(legacy.changes[0]!.text).toMatch(/^\{"table":"notes","type":"INSERT",/)
  await it.sql.query('delete from notes')
  await channel.received(6)
  expect(
    channel.changes
      .slice(3)
      .flatMap(({ ids }) => ids)
      .toSorted(),
  ).toEqual([1, 2, 3, 4, 5, 6])
  for (const each of [channel, legacy]) each.handle.close()
})

test('channels that get the same share the bytes', async () => {
  const channels = [
    it.open({ entries: [of('notes')] }),
    it.open({ entries: [of('notes')], identity: user(USER_1) }),
    it.open({ entries: [of('notes')] }),
  ]
  await Promise.all(channels.map((channel) => channel.subscribed()))
  await it.sql.query(`insert into notes (body) values ('shared')`)
  await Promise.all(channels.map((channel) => channel.received(1)))
  expect(new Set(channels.map(({ changes }) => changes[0]!.bytes)).size).toBe(1)
  for (const each of channels) each.handle.close()
})

test('generated columns, keys of several columns, and keys that are not written as they are cast', async () => {
  faults.length = 0
  const made = it.open({ entries: [of('made')] })
  const pairs = it.open({ entries: [of('pairs')], identity: asRole('anon', { may: 'yes' }) })
  await Promise.all([made.subscribed(), pairs.subscribed()])
  await it.sql.query('insert into made (id, n) values (1, 21)')
  await it.sql.query(`insert into pairs values (1, 'a b"', true, 'yes'), (1, 'a b"', false, 'no'), (2, '', false, 'yes')`)
  await Promise.all([made.received(1), pairs.received(2)]).catch((error: Error) => {
    throw new Error(error.message + faults.join())
  })
  expect(made.changes[0]!.data.record).toEqual({ id: 1, n: 21, twice: 42, big: null })
  expect(pairs.changes.map(({ data }) => [data.record!['a'], data.record!['c']])).toEqual([
    [1, true],
    [2, false],
  ])
  for (const each of [made, pairs]) each.handle.close()
})

test('tables that are made, altered and dropped while channels watch', async () => {
  const all = it.open({ entries: [{ schema: 'public' }], identity: asRole('service_role') })
  await all.subscribed()
  const make = `create table later (id int primary key, body text); grant all on later to service_role; alter publication supabase_realtime add table later`
  await it.sql.query(make)
  await it.sql.query(`insert into later values (1, 'a')`)
  await it.sql.query(`alter table later add column extra int default 5`)
  await it.sql.query(`insert into later values (2, 'b')`)
  await it.sql.query(`alter table later rename column body to text`)
  await it.sql.query(`insert into later values (3, 'c')`)
  await it.sql.query('drop table later')
  await it.sql.query(make)
  await it.sql.query(`insert into later values (1, 'again')`)
  await all.until(() => all.changes.some(({ text }) => text.includes('again')))
  expect(all.changes.at(-1)!.data.record).toEqual({ id: 1, body: 'again' })
  all.handle.close()
})

test('a transaction of many rows comes whole and in order, and others are served meanwhile', { timeout: 60_000 }, async () => {
  const big = it.open({ entries: [of('made', { select: ['id', 'twice'] })] })
  const small = it.open({ entries: [of('notes')] })
  await Promise.all([big.subscribed(), small.subscribed()])
  const rows = 60_000
  await it.sql.query(`insert into made (id, n, big) select 1000 + i, i, 'x' from generate_series(1, ${rows}) i`)
  await it.sql.query(`insert into notes (body) values ('after')`)
  await small.until(() => small.changes.length > 0, 'what was committed afterwards', 50_000)
  expect(big.changes.length).toBe(rows)
  expect(big.changes.every(({ data: { record } }, at) => record!['id'] === 1001 + at && record!['twice'] === 2 * (at + 1))).toBe(true)
  for (const each of [big, small]) each.handle.close()
})

test('a database that is down at first, and one that goes away', { timeout: 60_000 }, async () => {
  const dead = openPostgresFeed({ databaseUrl: 'postgres://nobody:x@127.0.0.1:1/none' })
  const waiting = new TestChannel(dead, { entries: [of('notes')] })
  expect(await waiting.verdict()).toEqual({
    status: 'error',
    message: 'Unable to subscribe to changes: the database does not answer. Trying again.',
    extra: { code: 'database-unavailable', hint: expect.any(String) as string },
  })
  waiting.handle.close()
  await dead.close()

  const channel = it.open({ entries: [of('own')], identity: user(USER_1) })
  await channel.subscribed()
  await it.sql.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type in ('client backend', 'walsender')`,
  )
  await it.sql.query(`insert into own (owner, body) values ($1, 'after the cut')`, [USER_1])
  await channel.received(1)
  expect(channel.changes[0]!.data.record?.['body']).toBe('after the cut')
  channel.handle.close()
})

test('one row that fails the policies of many users costs them that row', { timeout: 60_000 }, async () => {
  const channels = Array.from({ length: 400 }, (_, at) =>
    it.open({ entries: [of('poisoned')], identity: user(`${USER_1.slice(0, -3)}${100 + at}`) }),
  )
  const other = it.open({ entries: [of('notes')] })
  await Promise.all([other, ...channels].map((channel) => channel.subscribed()))
  await it.sql.query('insert into poisoned select id, case id when 77 then 0 else 1 end from generate_series(1, 200) id')
  await it.sql.query(`insert into notes (body) values ('after')`)
  await other.until(() => other.changes.length === 1, 'what comes after', 30_000)
  await Promise.all(channels.map((channel) => channel.until(() => channel.changes.length === 199, 'the other rows', 30_000)))
  expect(new Set(channels.map(({ ids }) => ids.includes(77)))).toEqual(new Set([false]))
  for (const each of [other, ...channels]) each.handle.close()
})
