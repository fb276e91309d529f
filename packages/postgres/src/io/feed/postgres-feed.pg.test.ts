import type { DecidedChange } from '@tidewire/server'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table notes (id serial primary key, body text, n int, ok bool);
     create table notes_full (id serial primary key, body text, n int); alter table notes_full replica identity full;
     create table own (id serial primary key, owner uuid, body text);
     alter table own enable row level security;
     create policy own on own for select to authenticated using (owner = auth.uid());
     grant all on all tables in schema public to anon, authenticated, service_role;
     alter publication supabase_realtime add table notes, notes_full, own;`,
  )
})
afterAll(() => it.close())

const NOTES = { event: '*', schema: 'public', table: 'notes' }
const USER_1 = '11111111-1111-1111-1111-111111111111'
const USER_2 = '22222222-2222-2222-2222-222222222222'

test('an insert, an update and a delete arrive as the reference writes them', async () => {
  const channel = it.open({ entries: [NOTES] })
  await channel.subscribed()
  await it.sql.query(`insert into notes (body, n) values ('a', 5)`)
  await it.sql.query('update notes set n = 6')
  await it.sql.query('delete from notes')
  await channel.received(3)
  const [insert, update, remove] = channel.changes.map(({ text }) => text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, 'T'))
  const columns =
    '[{"name": "id", "type": "int4"}, {"name": "body", "type": "text"}, {"name": "n", "type": "int4"}, {"name": "ok", "type": "bool"}]'
  const rest = `"columns":${columns},"errors":null,"schema":"public","commit_timestamp":"T"`
  expect(insert).toBe(`{"data":{"table":"notes","type":"INSERT","record":{"n": 5, "id": 1, "ok": null, "body": "a"},${rest}},"ids":[1]}`)
  expect(update).toBe(
    `{"data":{"table":"notes","type":"UPDATE","record":{"n": 6, "id": 1, "ok": null, "body": "a"},${rest},"old_record":{"id": 1}},"ids":[1]}`,
  )
  expect(remove).toBe(`{"data":{"table":"notes","type":"DELETE",${rest},"old_record":{"id": 1}},"ids":[1]}`)
  channel.handle.close()
})

test('rows are delivered to the users that the policies show them to', async () => {
  const entries = [{ event: '*', schema: 'public', table: 'own' }]
  const [one, two, anon, service] = [
    it.open({ entries, identity: asRole('authenticated', { sub: USER_1 }) }),
    it.open({ entries, identity: asRole('authenticated', { sub: USER_2 }) }),
    it.open({ entries, identity: asRole('anon') }),
    it.open({ entries, identity: asRole('service_role') }),
  ]
  const all = [one, two, anon, service]
  await Promise.all(all.map((channel) => channel.subscribed()))
  await it.sql.query('insert into own (owner, body) values ($1, $2), ($3, $4)', [USER_1, 'for one', USER_2, 'for two'])
  await Promise.all([one.received(1), two.received(1), service.received(2)])
  await it.sql.query(`update own set body = 'changed' where owner = $1`, [USER_1])
  await Promise.all([one.received(2), service.received(3)])
  await it.sql.query('delete from own')
  await Promise.all([one.received(4), two.received(3), anon.received(2), service.received(5)])
  const seen = all.map(({ changes }) =>
    changes.map(({ data }) => `${data.type} ${String(data.record?.['body'] ?? JSON.stringify(data.old_record))}`),
  )
  expect(seen).toEqual([
    ['INSERT for one', 'UPDATE changed', 'DELETE {"id":2}', 'DELETE {"id":1}'],
    ['INSERT for two', 'DELETE {"id":2}', 'DELETE {"id":1}'],
    ['DELETE {"id":2}', 'DELETE {"id":1}'],
    ['INSERT for one', 'INSERT for two', 'UPDATE changed', 'DELETE {"id":2}', 'DELETE {"id":1}'],
  ])
  for (const { handle } of all) handle.close()
})

test('an observer gets every change, also one that no user may see, and how far the feed is', async () => {
  const channel = it.open({ entries: [NOTES, { event: '*', schema: 'public', table: 'own' }], identity: asRole('authenticated') })
  await channel.subscribed()
  const decided: DecidedChange[] = []
  const { changeFeed } = it.feed
  changeFeed.observe!((change) => decided.push({ ...change }))
  const before = Date.now()
  await it.sql.query(`insert into own (owner, body) values ('${USER_1}', 'hidden')`)
  await it.sql.query(`insert into notes (body) values ('seen')`)
  await channel.received(1)
  changeFeed.observe!(null)
  expect(decided).toMatchObject([
    { schema: 'public', table: 'own', action: 'INSERT', receivers: 0, payload: null },
    { schema: 'public', table: 'notes', action: 'INSERT', receivers: 1 },
  ])
  expect(Buffer.from(decided[1]!.payload!).toString()).toBe(channel.changes[0]!.text)
  expect(decided[1]!.committedAt).toBeGreaterThan(before - 1_000)
  expect(decided[1]!.committedAt).toBeLessThanOrEqual(Date.now() + 1)
  // The frame goes out before its batch is put away.
  await vi.waitFor(
    () => expect(changeFeed.progress!()).toMatchObject({ lagBytes: expect.any(Number) as number, oldestAt: null, trouble: null }),
    {
      timeout: 10_000,
    },
  )
  await it.sql.query(`insert into notes (body) values ('unobserved')`)
  await channel.received(2)
  expect(decided).toHaveLength(2)
  channel.handle.close()
})
