/** What clients notice of an anchor that is dropped or advanced by hand, and of clocks that differ or jump. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { asRole, startFeed, storeMessage, TestChannel, type TestFeed } from '../../../test/feed.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { storedMessage } from '../../messages/stored-message.ts'
import { dropSlot, listSlots, type Slot } from '../replication/slot.ts'
import { openPostgresFeed, type PostgresFeed, type PostgresFeedOptions } from './postgres-feed.ts'

const postgres = usePostgres()

const SETUP = `create table notes (id int primary key, body text); grant all on notes to anon; alter publication supabase_realtime add table notes`
const NOTES = { event: '*', schema: 'public', table: 'notes' }
const MESSAGES = [{ name: 'messages', tables: [{ schema: 'realtime', name: 'messages' }], viaRoot: true }]
const OFTEN = { checkIntervalMs: 50, advanceIntervalMs: 100, positionIntervalMs: 100, hasRelay: true }

let it: TestFeed
let more: PostgresFeed[]

beforeEach(async () => {
  more = []
  it = await startFeed(await postgres.createDatabase(), SETUP, { ...OFTEN, otherPublications: MESSAGES })
})
afterEach(async () => {
  vi.useRealTimers()
  for (const feed of more) await feed.close()
  await it.feed.close()
  for (const { name } of await listSlots(it.sql, 'tidewire')) await dropSlot(it.sql, name)
  await it.sql.end()
})

function node(changed: Partial<PostgresFeedOptions> = {}): PostgresFeed {
  const feed = openPostgresFeed({ databaseUrl: it.url, ...OFTEN, otherPublications: MESSAGES, ...changed })
  more.push(feed)
  return feed
}

async function join(since: string | null = null, feed = it.feed): Promise<TestChannel> {
  const channel = new TestChannel(feed, { entries: [NOTES], identity: asRole('anon'), positions: true, since })
  await channel.subscribed()
  return channel
}

async function theAnchor(): Promise<Slot> {
  const anchors = (await listSlots(it.sql, 'tidewire')).filter(({ role }) => role === 'anchor')
  expect(anchors).toHaveLength(1)
  return anchors[0]!
}

describe('an anchor', () => {
  test('that is dropped: rows and messages that came through the old copy do not come again with the new one', async () => {
    const messages: (string | undefined)[] = []
    // It notices late, and reads its copy of the old anchor meanwhile.
    const late = node({ checkIntervalMs: 2_000, onRow: (change, log) => messages.push(storedMessage(change, log)?.event) })
    const channel = await join(null, late)
    const { name } = await theAnchor()
    await expect.poll(async () => (await it.sql.query('select pg_drop_replication_slot($1)', [name]).catch(() => null)) !== null).toBe(true)
    await expect
      .poll(async () => (await listSlots(it.sql, 'tidewire')).some((slot) => slot.role === 'anchor'), { timeout: 10_000 })
      .toBe(true)
    await storeMessage(it.sql, 'between')
    await it.sql.query('insert into notes values (1)')
    await channel.received(1)
    expect(channel.gaps).toEqual([])
    await channel.until(() => channel.gaps.length > 0, 'the gap')
    expect(channel.gaps).toEqual(['slot-replaced'])
    await storeMessage(it.sql, 'after')
    await it.sql.query('insert into notes values (2)')
    await channel.received(2)
    await expect.poll(() => messages.includes('after')).toBe(true)
    expect(messages).toEqual(['between', 'after'])
    expect(channel.ids).toEqual([1, 2])
    expect(late.source.epoch).toBe(it.feed.source.epoch)
  })

  test('that is advanced past what a node holds: a client goes on at that node, and hears of the gap at a later one', async () => {
    const channel = await join()
    await it.sql.query('insert into notes values (1)')
    await channel.received(1)
    const before = channel.position
    await it.sql.query('insert into notes values (2)')
    await channel.received(2)
    const { name } = await theAnchor()
    await it.sql.query('select pg_replication_slot_advance($1, pg_current_wal_lsn())', [name])
    // The copy and the ring of the node that runs are its own.
    const same = await join(before)
    await same.received(1)
    expect([same.outcome, same.ids]).toEqual([true, [2]])
    const later = node()
    const other = await join(before, later)
    expect([other.outcome, other.ids]).toEqual(['position-too-old', []])
    await it.sql.query('insert into notes values (3)')
    await Promise.all([other.received(1), channel.received(3)])
    expect(channel.gaps).toEqual([])
    expect((await join(other.position)).outcome).toBe(true)
  })
})

describe('clocks', () => {
  test.each([
    ['ahead of', 600_000],
    ['behind', -600_000],
  ])('of a node %s that of Postgres, and one that jumps: the window is as long as it was', async (_what, aheadMs) => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + aheadMs })
    const channel = await join()
    await it.sql.query('insert into notes values (1)')
    await channel.received(1)
    const before = channel.position
    await it.sql.query('insert into notes values (2)')
    await channel.received(2)
    // Further than the window is long, there and back.
    for (const jumpMs of [aheadMs * 2, -aheadMs * 3]) {
      vi.setSystemTime(Date.now() + jumpMs)
      await it.sql.query('insert into notes values (3) on conflict (id) do update set body = now()::text')
      await channel.until(() => channel.ids.includes(3), 'a change after the jump')
      const again = await join(before)
      await again.until(() => again.ids.includes(3), 'what was missed')
      expect(again.outcome).toBe(true)
      expect(again.ids.slice(0, 2)).toEqual([2, 3])
      const later = await join(before, node())
      await later.until(() => later.ids.includes(3), 'what was missed')
      expect(later.outcome).toBe(true)
    }
    expect(channel.gaps).toEqual([])
    // Neither side's clock makes it wait: what was committed is delivered.
    expect(it.feed.changeFeed.progress!()).toMatchObject({ trouble: null, degraded: null, unready: null, oldestAt: null })
  })
})
