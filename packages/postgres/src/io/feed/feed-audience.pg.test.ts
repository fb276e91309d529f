import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, type TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'

const postgres = usePostgres()
let it: TestFeed

beforeAll(async () => {
  it = await startFeed(
    await postgres.createDatabase(),
    `create table rooms (id serial primary key, room int not null, code uuid, owner uuid);
     alter table rooms enable row level security;
     create policy own on rooms for select to authenticated using (owner = auth.uid());
     create policy staff on rooms for select to service_role using (true);
     grant all on all tables in schema public to anon, authenticated, service_role;
     alter publication supabase_realtime add table rooms;`,
  )
})
afterAll(() => it.close())

const CHANNELS = 1_000
const ROOMS = 100
const uid = (n: number): string => `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`
const rooms = (filter?: string): object => ({ event: '*', schema: 'public', table: 'rooms', ...(filter === undefined ? {} : { filter }) })

function join(number: number): TestChannel {
  return it.open({ entries: [rooms(`room=eq.${number % ROOMS}`)], identity: asRole('authenticated', { sub: uid(number) }) })
}

test('a thousand that join at once are all subscribed, and miss nothing from then on', async () => {
  const channels = Array.from({ length: CHANNELS }, (_, number) => join(number))
  // What is wrong with one is its own matter.
  const mistaken = [
    it.open({ entries: [rooms('room=eq.many')] }),
    it.open({ entries: [rooms('code=in.(1,2)')] }),
    it.open({ entries: [rooms('nothing=eq.1')] }),
    it.open({ entries: [rooms()], identity: asRole('nobody') }),
  ]
  // A row for each, as soon as it is live.
  await Promise.all(
    channels.map(async (channel, number) => {
      await channel.subscribed()
      await it.sql.query('insert into rooms (room, owner) values ($1, $2)', [number % ROOMS, uid(number)])
    }),
  )
  await Promise.all(channels.map((channel) => channel.received(1)))
  const texts = await Promise.all(mistaken.map(async (channel) => (await channel.verdict()).message))
  expect(texts.map((text) => text.split('Exception: ')[1])).toEqual([
    'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: "many"',
    'ERROR 22P02 (invalid_text_representation) invalid input syntax for type uuid: "1"',
    'ERROR P0001 (raise_exception) invalid column for filter nothing',
    'ERROR 42704 (undefined_object) role "nobody" does not exist',
  ])
  for (const [number, { systems, changes }] of channels.entries()) {
    expect(systems).toEqual([{ status: 'ok', message: 'Subscribed to PostgreSQL' }])
    expect(changes.map(({ data }) => data.record!['owner'])).toEqual([uid(number)])
  }
  for (const channel of channels) channel.handle.close()
})

test('what was committed before a channel is opened counts for it, whatever is being asked for others', async () => {
  const channels: TestChannel[] = []
  for (let round = 0; round < 20; round++) {
    const opening = it.sql
      .query(
        `begin; create table late_${round} (id int primary key); grant select on late_${round} to anon;
         alter publication supabase_realtime add table late_${round}; commit`,
      )
      .then(() => it.open({ entries: [{ event: '*', schema: 'public', table: `late_${round}` }] }))
    let isOpen = false
    void opening.then(() => (isOpen = true))
    // So that answers that do not know the table are on their way to others when it is published.
    while (!isOpen) {
      if (channels.length < 2_000) channels.push(join(channels.length))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const late = await opening
    expect((await late.verdict()).message).toBe('Subscribed to PostgreSQL')
    await it.sql.query(`insert into late_${round} values (1)`)
    await late.received(1)
    late.handle.close()
  }
  for (const channel of channels) channel.handle.close()
})
