import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { openPostgresFeed } from './postgres-feed.ts'

const postgres = usePostgres()
let it: TestFeed

const SETUP = `create table notes (id serial primary key, body text);
  create table own (id serial primary key, owner uuid, body text);
  alter table own enable row level security;
  create policy own on own for select to authenticated using (owner = auth.uid());
  grant all on all tables in schema public to anon, authenticated, service_role;
  alter publication supabase_realtime add table notes, own;`

beforeAll(async () => {
  it = await startFeed(await postgres.createDatabase(), SETUP, { positionIntervalMs: 50 })
})
afterAll(() => it.close())

const NOTES = { event: '*', schema: 'public', table: 'notes' }
const OWN = { event: '*', schema: 'public', table: 'own' }
const USER_1 = '11111111-1111-1111-1111-111111111111'
const USER_2 = '22222222-2222-2222-2222-222222222222'

const positionOf = (channel: TestChannel): string => {
  const ready = channel.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')
  return channel.changes.at(-1)?.data.position ?? (ready?.extra?.['position'] as string)
}
const outcome = (channel: TestChannel): unknown => {
  const { recovered, reason } = channel.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')?.extra ?? {}
  return reason === undefined ? recovered : reason
}
const bodies = (channel: TestChannel): unknown[] => channel.changes.map(({ data }) => data.record?.['body'])

test('a channel that comes back gets what it missed, in order, and then what comes', async () => {
  const first = it.open({ entries: [NOTES], positions: true })
  await first.subscribed()
  await it.sql.query(`insert into notes (body) values ('seen')`)
  await first.received(1)
  first.handle.close()
  for (let n = 0; n < 600; n++) await it.sql.query('insert into notes (body) values ($1)', [`missed ${n}`])
  const again = it.open({ entries: [NOTES], positions: true, since: positionOf(first) })
  await it.sql.query(`insert into notes (body) values ('live')`)
  await again.received(601)
  await again.subscribed()
  expect(outcome(again)).toBe(true)
  expect(bodies(again)).toEqual([...Array.from({ length: 600 }, (_, n) => `missed ${n}`), 'live'])
  again.handle.close()
})

test('a replay under load neither loses nor doubles', async () => {
  const first = it.open({ entries: [NOTES], positions: true })
  await first.subscribed()
  first.handle.close()
  let writing = true
  let written = 0
  const writer = (async () => {
    while (writing) await it.sql.query('insert into notes (body) values ($1)', [`n${written++}`])
  })()
  const channels: TestChannel[] = []
  for (let n = 0; n < 6; n++) {
    const channel = it.open({ entries: [NOTES], positions: true, since: positionOf(first) })
    channels.push(channel)
    await channel.subscribed()
  }
  writing = false
  await writer
  for (const channel of channels) {
    await channel.received(written)
    expect(outcome(channel)).toBe(true)
    expect(bodies(channel)).toEqual(Array.from({ length: written }, (_, n) => `n${n}`))
    channel.handle.close()
  }
})

test('a position sent at the subscription or to a quiet channel serves as well', async () => {
  const quiet = it.open({ entries: [NOTES], positions: true })
  await quiet.subscribed()
  await quiet.until(() => quiet.systems.some(({ message }) => message === 'Position'))
  const quietPosition = quiet.systems.filter(({ message }) => message === 'Position').at(-1)?.extra?.['position'] as string
  quiet.handle.close()
  await it.sql.query(`insert into notes (body) values ('while away')`)
  for (const since of [positionOf(quiet), quietPosition]) {
    const again = it.open({ entries: [NOTES], positions: true, since })
    await again.received(1)
    await again.subscribed()
    expect([outcome(again), bodies(again)]).toEqual([true, ['while away']])
    again.handle.close()
  }
})

test('a replay does not wait for the next write: the log may end where a page does, and its next record is to begin later', async () => {
  const first = it.open({ entries: [NOTES], positions: true })
  await first.subscribed()
  first.handle.close()
  await it.sql.query(`insert into notes (body) values ('while quiet')`)
  for (let n = 0; n < 5; n++) {
    await endAtPage(it.sql)
    const again = it.open({ entries: [NOTES], positions: true, since: positionOf(first) })
    await again.until(() => again.ready, 'the subscription', 5_000)
    expect([outcome(again), bodies(again)]).toEqual([true, ['while quiet']])
    again.handle.close()
  }
})

/** Writes to the log until it ends where a page ends, on the disk, too. */
async function endAtPage(sql: TestFeed['sql']): Promise<void> {
  const [pageBytes, headBytes] = [8_192, 24]
  const inserted = async (): Promise<number> => {
    const { rows } = await sql.query<{ lsn: string }>(`select (pg_current_wal_insert_lsn() - '0/0')::text as lsn`)
    return Number(BigInt(rows[0]!.lsn) % BigInt(pageBytes))
  }
  const write = (bytes: number) => sql.query(`select pg_logical_emit_message(false, 'q', repeat('x', $1))`, [bytes])
  const deadline = Date.now() + 5_000
  for (let overhead = 0; Date.now() < deadline;) {
    const before = await inserted()
    const room = pageBytes - before
    if (room < 2_000) await write(room)
    else if (overhead === 0) {
      await write(1_000)
      overhead = (await inserted()) - before - 1_000
    } else {
      await write(room - overhead)
      if ((await inserted()) !== headBytes) continue
      // It is flushed after some time: no transaction waits for it.
      const flushed = `select pg_current_wal_flush_lsn() = pg_current_wal_lsn() and pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn() = ${headBytes} as ends`
      await expect.poll(async () => (await sql.query<{ ends: boolean }>(flushed)).rows[0]!.ends, { timeout: 2_000 }).toBe(true)
      return
    }
  }
  throw new Error('the log did not end with a page')
}

test('a replay shows what may be seen now, versions that were theirs, and nothing that was never theirs', async () => {
  const identity = asRole('authenticated', { sub: USER_1 })
  const first = it.open({ entries: [OWN], positions: true, identity })
  await first.subscribed()
  first.handle.close()
  const insert = async (owner: string, body: string): Promise<number> =>
    (await it.sql.query<{ id: number }>('insert into own (owner, body) values ($1, $2) returning id', [owner, body])).rows[0]!.id
  const mine = await insert(USER_1, 'mine')
  await insert(USER_2, 'not mine')
  const changed = await insert(USER_1, 'first')
  await it.sql.query(`update own set body = 'second' where id = $1`, [changed])
  const given = await insert(USER_1, 'given away')
  await it.sql.query('update own set owner = $2 where id = $1', [given, USER_2])
  const got = await insert(USER_2, 'a secret of two')
  await it.sql.query(`update own set owner = $2, body = 'for one' where id = $1`, [got, USER_1])
  await it.sql.query('begin')
  const twice = await insert(USER_1, 'within a transaction')
  await it.sql.query(`update own set body = 'at its end' where id = $1`, [twice])
  await it.sql.query('commit')
  const again = it.open({ entries: [OWN], positions: true, identity, since: positionOf(first) })
  await again.subscribed()
  expect(outcome(again)).toBe(true)
  expect(
    again.changes.map(({ data: { type, record, superseded } }) => [type, record?.['id'], record?.['body'], superseded ?? false]),
  ).toEqual([
    ['INSERT', mine, 'mine', false],
    ['INSERT', changed, 'first', false],
    ['UPDATE', changed, 'second', false],
    ['UPDATE', got, 'for one', false],
    ['INSERT', twice, 'within a transaction', false],
    ['UPDATE', twice, 'at its end', false],
  ])
  expect(again.changes.map(({ text }) => text).join()).not.toContain('secret')
  again.handle.close()
})

test('positions that cannot be gone on from say why, and the channel is live all the same', async () => {
  const first = it.open({ entries: [NOTES], positions: true })
  await first.subscribed()
  const [epoch] = positionOf(first).split('/')
  const reasons = new Map([
    ['', 'invalid-position'],
    [`'; drop table notes; --`, 'invalid-position'],
    ['x'.repeat(100_000), 'invalid-position'],
    ['abc/1/0', 'other-epoch'],
    [`${epoch}/1/0`, 'position-too-old'],
    [`${epoch}/ffffffffffffffff/0`, 'position-ahead'],
  ])
  for (const [since, reason] of reasons) {
    const channel = it.open({ entries: [NOTES], positions: true, since })
    await channel.subscribed()
    expect([since.slice(0, 30), outcome(channel)]).toEqual([since.slice(0, 30), reason])
    await it.sql.query(`insert into notes (body) values ('still live')`)
    await channel.received(1)
    channel.handle.close()
  }
  first.handle.close()
})

test('a replay that loses its session goes on where it was: nothing is missing, nothing comes twice', { timeout: 60_000 }, async () => {
  const identity = asRole('authenticated', { sub: USER_1 })
  const first = it.open({ entries: [OWN], positions: true, identity })
  await first.subscribed()
  const since = positionOf(first)
  first.handle.close()
  await it.sql.query(`insert into own (owner, body) select $1, 'x' from generate_series(1, 5000)`, [USER_1])
  const again = it.open({ entries: [OWN], positions: true, since, identity })
  await again.received(1)
  await it.sql.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tidewire check'`)
  expect(again.changes.length).toBeLessThan(5_000)
  await it.sql.query(`insert into own (owner, body) values ($1, 'live')`, [USER_1])
  await again.until(() => again.changes.length >= 5_001, 'everything', 40_000)
  await again.subscribed()
  expect(outcome(again)).toBe(true)
  const ids = again.changes.map(({ data }) => data.record?.['id'])
  expect(new Set(ids).size).toBe(5_001)
  expect(ids).toHaveLength(5_001)
  again.handle.close()
})

test.each([
  ['drop table gone_1', 'publication-changed'],
  ['drop table gone_1; create table gone_1 (body text); alter publication supabase_realtime add table gone_1', 'publication-changed'],
  ['alter table gone_1 rename to here_1', 'publication-changed'],
  ['alter publication supabase_realtime drop table gone_1', 'publication-changed'],
  ['alter table gone_1 add more text', true],
])('a table that changed while a client that names it by a pattern was away, and then %j: %j', async (statement, expected) => {
  await it.sql.query(`drop table if exists gone_1, gone_2, here_1;
    create table gone_1 (body text); create table gone_2 (body text); grant all on all tables in schema public to service_role;
    alter publication supabase_realtime add table gone_1, gone_2`)
  const entries = [{ event: '*', schema: 'public', table: 'gone%' }]
  const first = it.open({ entries, positions: true })
  await first.subscribed()
  await it.sql.query(`insert into gone_1 values ('seen')`)
  await first.received(1)
  first.handle.close()
  await it.sql.query(`insert into gone_1 values ('missed')`)
  await it.sql.query(statement)
  const again = it.open({ entries, positions: true, since: positionOf(first) })
  await again.subscribed()
  expect(outcome(again)).toBe(expected)
  again.handle.close()
})

test('channels that do not ask see nothing of it', async () => {
  const channel = it.open({ entries: [NOTES] })
  await channel.subscribed()
  await it.sql.query(`insert into notes (body) values ('plain')`)
  await channel.received(1)
  expect(channel.systems).toEqual([{ status: 'ok', message: 'Subscribed to PostgreSQL' }])
  expect(channel.changes[0]!.text).not.toContain('position')
  channel.handle.close()
})

test('a window that is full forgets the oldest, and a new server goes on from the same position', async () => {
  const url = await postgres.createDatabase()
  const small = await startFeed(url, SETUP, { resumeWindowBytes: 20_000 })
  const first = small.open({ entries: [NOTES], positions: true })
  await first.subscribed()
  const begin = positionOf(first)
  for (let n = 0; n < 200; n++) await small.sql.query('insert into notes (body) values ($1)', [`n${n}`])
  await first.received(200)
  const tooOld = small.open({ entries: [NOTES], positions: true, since: begin })
  await tooOld.subscribed()
  expect(outcome(tooOld)).toBe('position-too-old')
  const recent = first.changes[180]!.data.position!
  await small.feed.close()
  await small.sql.query(`insert into notes (body) values ('while down')`)
  const feed = openPostgresFeed({ databaseUrl: url })
  const again = new TestChannel(feed, { entries: [NOTES], positions: true, since: recent })
  await again.received(20)
  await again.subscribed()
  expect(outcome(again)).toBe(true)
  expect(bodies(again)).toEqual([...Array.from({ length: 19 }, (_, n) => `n${181 + n}`), 'while down'])
  await feed.close()
  await small.sql.end()
})
