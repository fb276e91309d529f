/** Several nodes on one database, as their clients see them; and tables that are not published for a while. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asRole, startFeed, TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { storedMessage } from '../../messages/stored-message.ts'
import { parseLsn } from '../../replication/lsn.ts'
import { dropSlot, listSlots } from '../replication/slot.ts'
import { openPostgresFeed, type PostgresFeed, type PostgresFeedOptions } from './postgres-feed.ts'

const postgres = usePostgres()

const SETUP = `create table notes (id int primary key, body text); create table others (id int primary key);
  create table logs (id int, day int, primary key (id, day)) partition by range (day);
  create table logs_1 partition of logs for values from (0) to (10);
  grant all on all tables in schema public to anon;
  create publication rooted for table logs with (publish_via_partition_root = true);
  alter publication supabase_realtime add table notes, others;`
const NOTES = { event: '*', schema: 'public', table: 'notes' }
const OTHERS = { event: '*', schema: 'public', table: 'others' }

let it: TestFeed
let more: PostgresFeed[]
let options: Partial<PostgresFeedOptions>

beforeEach(async () => {
  more = []
  options = { checkIntervalMs: 50, advanceIntervalMs: 100, positionIntervalMs: 100 }
  it = await startFeed(await postgres.createDatabase(), SETUP, options)
})
afterEach(async () => {
  for (const feed of more) await feed.close()
  await it.feed.close()
  for (const { name } of await listSlots(it.sql, 'tidewire')) await dropSlot(it.sql, name)
  await it.sql.end()
})

function node(changed: Partial<PostgresFeedOptions> = {}): PostgresFeed {
  const feed = openPostgresFeed({ databaseUrl: it.url, ...options, ...changed })
  more.push(feed)
  return feed
}

async function join(entry: object, since: string | null = null, feed = it.feed): Promise<TestChannel> {
  const channel = new TestChannel(feed, { entries: [entry], identity: asRole('anon'), positions: true, since })
  await channel.subscribed()
  return channel
}

const positionOf = (channel: TestChannel): string =>
  channel.changes.at(-1)?.data.position ?? (channel.systems.findLast(({ extra }) => extra?.['position'])!.extra!['position'] as string)

const outcome = (channel: TestChannel): unknown => {
  const { recovered, reason } = channel.systems.find(({ message }) => message === 'Subscribed to PostgreSQL')?.extra ?? {}
  return reason ?? recovered
}

const idsOf = (channel: TestChannel): unknown[] => channel.changes.map(({ data }) => data.record?.['id'])

const gapsOf = (channel: TestChannel): unknown[] =>
  channel.systems.filter(({ extra }) => extra?.['resync'] === true).map(({ extra }) => extra!['reason'])

describe('several nodes', () => {
  test('what one node withheld is missing for a client that goes on at another', async () => {
    await it.sql.query(`create table slow (id int primary key); alter table slow enable row level security;
      create policy slow on slow for select to anon using (case when id = 1 then pg_sleep(60) is null else true end);
      grant select on slow to anon; alter publication supabase_realtime add table slow`)
    const entries = [{ event: '*', schema: 'public', table: '%' }]
    const channel = new TestChannel(it.feed, { entries, identity: asRole('anon'), positions: true, since: null })
    await channel.subscribed()
    const seen = async (id: number): Promise<string> => {
      await it.sql.query('insert into notes values ($1)', [id])
      await channel.until(() => idsOf(channel).includes(id))
      return positionOf(channel)
    }
    const before = await seen(1)
    await it.sql.query('insert into slow values (1)')
    await channel.until(() => gapsOf(channel).length === 1)
    const during = await seen(2)
    const second = node()
    const again = async (since: string): Promise<unknown> => {
      const other = new TestChannel(second, { entries, identity: asRole('anon'), positions: true, since })
      await other.subscribed()
      return outcome(other)
    }
    await it.sql.query('delete from slow')
    expect(await again(during)).toBe('withheld')
    expect(await again(before)).toBe(true)
  })

  test('a client goes on at a node that started later, without a gap, with changes and without (rule D18)', async () => {
    const first = await join(NOTES)
    await it.sql.query('insert into notes values (1)')
    await first.received(1)
    const [beforeIdle, beforeMore] = [await join(OTHERS), positionOf(first)]
    await it.sql.query('insert into notes select generate_series(2, 9)')
    await first.received(9)
    const second = node()
    const again = await join(NOTES, beforeMore, second)
    await again.received(8)
    expect(outcome(again)).toBe(true)
    expect(idsOf(again)).toEqual([2, 3, 4, 5, 6, 7, 8, 9])
    expect(outcome(await join(OTHERS, positionOf(beforeIdle), second))).toBe(true)
    await it.sql.query('insert into notes values (10)')
    await Promise.all([first.received(10), again.received(9)])
    expect(again.changes.at(-1)!.data.position).toBe(first.changes.at(-1)!.data.position)
  })

  test('without changes keep the window, too: a position holds at a node that starts later', async () => {
    const first = await join(OTHERS)
    const before = positionOf(first)
    await it.sql.query(`create table filler as select repeat('x', 100) from generate_series(1, 20000)`)
    const { rows } = await it.sql.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn')
    const written = parseLsn(rows[0]!.lsn)!
    await expect.poll(() => it.feed.source.receivedLsn >= written, { timeout: 10_000 }).toBe(true)
    // Long enough for what is behind the window to be let go, and for the anchor to follow.
    await first.until(() => first.systems.filter(({ message }) => message === 'Position').length >= 20, 'positions')
    expect(it.feed.source.confirmedLsn < written - 1_000_000n).toBe(true)
    expect(outcome(await join(OTHERS, before, node()))).toBe(true)
  })

  test('one is ready when it has what the window holds (rule H5)', async () => {
    await join(NOTES)
    await it.sql.query('insert into notes select generate_series(1, 5000)')
    const second = node()
    expect(second.changeFeed.progress!().unready).toEqual(expect.any(String))
    await expect.poll(() => second.changeFeed.progress!().unready, { timeout: 10_000 }).toBeNull()
    const { windowBytes, windowMs } = second.changeFeed.progress!()
    expect(windowBytes).toBeGreaterThan(100_000)
    expect(windowMs).toBeGreaterThanOrEqual(0)
  })

  test('are degraded without a relay, and say which they see', async () => {
    await join(NOTES)
    expect(it.feed.changeFeed.progress!().degraded).toBeNull()
    const notices: string[] = []
    const second = node({ node: 'second.example', hasRelay: true })
    const third = node({ onNotice: (sentence) => notices.push(sentence) })
    await expect.poll(() => it.feed.changeFeed.progress!().degraded, { timeout: 10_000 }).toMatch(/no relay is configured/)
    await expect.poll(() => notices.join(), { timeout: 10_000 }).toMatch(/second_example.*no relay is configured/)
    expect(second.changeFeed.progress!().degraded).toBeNull()
    await second.close()
    await third.close()
    await expect.poll(() => it.feed.changeFeed.progress!().degraded, { timeout: 10_000 }).toBeNull()
  })

  test('a message from SQL comes once from each node that was there, and not from one that came later', async () => {
    const ids: Record<string, (string | undefined)[]> = { first: [], second: [] }
    const otherPublications = [{ name: 'messages', tables: [{ schema: 'realtime', name: 'messages' }], viaRoot: true }]
    const start = (name: string): PostgresFeed =>
      node({ slotBase: 'tidewire', otherPublications, onRow: (change, log) => ids[name]!.push(storedMessage(change, log)?.event) })
    await it.feed.close()
    const send = (event: string): Promise<unknown> =>
      it.sql.query(`insert into realtime.messages (topic, extension, event, payload, private) values ('t', 'broadcast', $1, '{}', false)`, [
        event,
      ])
    const first = start('first')
    await join(NOTES, null, first)
    await send('one')
    await expect.poll(() => ids['first'], { timeout: 10_000 }).toEqual(['one'])
    const second = start('second')
    await join(NOTES, null, second)
    await send('two')
    await expect.poll(() => [ids['first'], ids['second']], { timeout: 10_000 }).toEqual([['one', 'two'], ['two']])
  })

  test('keep no more write-ahead log than the window and what is written between two advances, beside a long transaction, too', async () => {
    await it.feed.close()
    const window = { resumeWindowMs: 1_000, maxWalBytes: 64 * 1024 * 1024 }
    const nodes = [node(window), node(window)]
    for (const feed of nodes) await join(NOTES, null, feed)
    const [anchor] = (await listSlots(it.sql, 'tidewire')).filter(({ role }) => role === 'anchor')
    const behind = async (): Promise<number> => {
      const { rows } = await it.sql.query<{ bytes: number }>(
        'select pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 as bytes from pg_replication_slots where slot_name = $1',
        [anchor!.name],
      )
      return rows[0]!.bytes
    }
    const write = async (first: number): Promise<void> => {
      await it.sql.query(`insert into notes select n, repeat('x', 500) from generate_series($1::int, $1 + 9999) n`, [first])
    }
    const long = await postgres.connect(it.url)
    await long.query('begin; insert into others values (1)')
    for (let round = 0; round < 3; round++) await write(round * 10_000)
    expect(await behind()).toBeGreaterThan(5_000_000)
    // The window passes, and the anchor follows though the transaction is open.
    await expect.poll(behind, { timeout: 15_000 }).toBeLessThan(200_000)
    await long.query('commit')
    await long.end()
  })
})

describe('a table that is not published for a while (rule D19)', () => {
  const takeOut: [what: string, since: number, out: string, back: string][] = [
    [
      'taken out and put back',
      14,
      'alter publication supabase_realtime drop table notes',
      'alter publication supabase_realtime add table notes',
    ],
    [
      'whose publication publishes less for a while',
      14,
      `alter publication supabase_realtime set (publish = 'delete')`,
      `alter publication supabase_realtime set (publish = 'insert, update, delete, truncate')`,
    ],
    [
      'with a row filter for a while',
      15,
      'alter publication supabase_realtime set table others, notes where (id < 0)',
      'alter publication supabase_realtime set table others, notes',
    ],
  ]

  test.each(takeOut)('%s: its subscribers hear of the gap, those of others hear nothing', async (what, since, out, back) => {
    if (postgres.version < since) return
    const [notes, others] = [await join(NOTES), await join(OTHERS)]
    const before = positionOf(notes)
    await it.sql.query(out)
    await it.sql.query('insert into notes values (1)')
    await it.sql.query(back)
    await notes.until(() => gapsOf(notes).length > 0, 'the gap')
    expect(gapsOf(notes)).toEqual(['publication-changed'])
    expect(outcome(await join(NOTES, before))).toBe('publication-changed')
    await it.sql.query('insert into notes values (2)')
    await notes.received(1)
    expect(idsOf(notes)).toEqual([2])
    expect(outcome(await join(NOTES, positionOf(notes)))).toBe(true)
    if (what.includes('publishes less')) return
    expect(gapsOf(others)).toEqual([])
    expect(outcome(await join(OTHERS, before))).toBe(true)
  })

  test.each(takeOut)('%s while no server runs: a client that resumes is notified of the gap', async (what, since, out, back) => {
    if (postgres.version < since) return
    const [notes, others] = [await join(NOTES), await join(OTHERS)]
    const [before, other] = [positionOf(notes), positionOf(others)]
    await it.feed.close()
    await it.sql.query(out)
    await it.sql.query('insert into notes values (1)')
    await it.sql.query(back)
    const next = node()
    expect(outcome(await join(NOTES, before, next))).toBe('publication-changed')
    if (!what.includes('publishes less')) expect(outcome(await join(OTHERS, other, next))).toBe(true)
  })

  test('a table that is created and published inside of the window leaves no gap', async () => {
    const all = await join({ event: '*', schema: 'public', table: '*' })
    const before = positionOf(all)
    await it.sql.query(
      'begin; create table later (id int primary key); grant select on later to anon; alter publication supabase_realtime add table later; commit',
    )
    await it.sql.query('insert into later values (1)')
    await expect
      .poll(() => it.feed.source.receivedLsn > 0n && it.feed.changeFeed.progress!().lagBytes === 0, { timeout: 10_000 })
      .toBe(true)
    expect(gapsOf(all)).toEqual([])
    const next = node()
    const again = await join({ event: '*', schema: 'public', table: 'later' }, before, next)
    expect(outcome(again)).toBe(true)
    expect(idsOf(again)).toEqual([1])
  })

  test('a partition that is detached and attached again is a gap of its root; a new partition is none', async () => {
    await it.feed.close()
    const feed = node({ publication: 'rooted' })
    const logs = await join({ event: '*', schema: 'public', table: 'logs' }, null, feed)
    await it.sql.query(`create table logs_2 partition of logs for values from (10) to (20)`)
    await it.sql.query('insert into logs values (1, 15)')
    await logs.received(1)
    expect(gapsOf(logs)).toEqual([])
    await it.sql.query('alter table logs detach partition logs_1')
    await it.sql.query('insert into logs_1 values (2, 5)')
    await it.sql.query('alter table logs attach partition logs_1 for values from (0) to (10)')
    await logs.until(() => gapsOf(logs).length > 0, 'the gap')
  })

  test('a schema that is taken out and put back', async () => {
    if (postgres.version < 15) return
    await it.feed.close()
    await it.sql.query('create publication whole for tables in schema public')
    const feed = node({ publication: 'whole' })
    const notes = await join(NOTES, null, feed)
    await it.sql.query('alter publication whole drop tables in schema public')
    await it.sql.query('alter publication whole add tables in schema public')
    await notes.until(() => gapsOf(notes).length > 0, 'the gap')
  })
})
