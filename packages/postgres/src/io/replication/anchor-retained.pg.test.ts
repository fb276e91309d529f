/** What Postgres keeps for the anchor, beside transactions of every kind that stay open. */
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { collectFeed, type FeedCollector } from '../../../test/feed-collector.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { dropSlot, listSlots } from './slot.ts'

const MB = 1_048_576
const postgres = usePostgres({ max_prepared_transactions: '2' })

let db: pg.Client
let long: pg.Client
let feed: FeedCollector
let notices: string[]

beforeEach(async () => {
  const url = await postgres.createDatabase()
  ;[db, long] = [await postgres.connect(url), await postgres.connect(url)]
  await db.query('create table notes (id int primary key, body text); create publication feed for table notes')
  notices = []
  const often = { checkIntervalMs: 100, statusIntervalMs: 50, advanceIntervalMs: 50 }
  feed = collectFeed(url, { ...often, windowBytes: 4 * MB, onNotice: (sentence) => notices.push(sentence) })
  await feed.streaming()
})

afterEach(async () => {
  await feed.close()
  await long.end()
  for (const { name } of await listSlots(db, 'tidewire')) await dropSlot(db, name)
  await db.end()
})

/** Bytes behind what is written: of the anchor's position, and of what is kept for it. */
async function anchor(): Promise<{ readonly behind: number; readonly kept: number }> {
  // Postgres notes which transactions run with every checkpoint, and else every 15 seconds; after that the anchor has to move.
  await postgres.admin.query('checkpoint')
  await write(100_000)
  const { rows } = await db.query<{ behind: number; kept: number }>(
    `select pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 as behind, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::float8 as kept
     from pg_replication_slots where not temporary and database = current_database()`,
  )
  return rows[0]!
}

async function write(bytes: number): Promise<void> {
  await db.query(`select pg_logical_emit_message(false, 'filler', repeat('x', $1))`, [bytes])
}

async function written(): Promise<void> {
  for (let round = 0; round < 24; round++) await write(MB)
}

describe('the log that is kept for the anchor', () => {
  test.each<[what: string, begin: string]>([
    ['no transaction', 'select'],
    ['one that only reads', 'begin isolation level repeatable read; select count(*) from notes'],
  ])('beside %s is bounded', async (_what, begin) => {
    await long.query(begin)
    await written()
    await expect.poll(async () => (await anchor()).behind, { timeout: 15_000, interval: 100 }).toBeLessThan(MB)
    await expect.poll(async () => (await anchor()).kept, { timeout: 15_000, interval: 100 }).toBeLessThan(2 * MB)
    expect(notices).toEqual([])
    await long.query('rollback')
  })

  test.each<[what: string, begin: string, end: string, named: (pid: number) => string]>([
    ['one that has written', 'begin; insert into notes values (1)', 'rollback', (pid) => `process ${pid} of database test_`],
    [
      'one that is prepared',
      `begin; insert into notes values (1); prepare transaction 'held'`,
      `rollback prepared 'held'`,
      () => 'the prepared transaction "held" of database test_',
    ],
  ])(
    'beside %s reaches back to where that began, with a sentence, until it ends; the position moves on',
    async (_what, begin, end, named) => {
      const { rows } = await long.query<{ pid: number }>('select pg_backend_pid() as pid')
      await long.query(begin)
      await written()
      await expect.poll(async () => (await anchor()).behind, { timeout: 15_000, interval: 100 }).toBeLessThan(MB)
      expect((await anchor()).kept).toBeGreaterThan(24 * MB)
      await expect.poll(() => notices, { timeout: 10_000 }).toHaveLength(1)
      expect(notices[0]).toMatch(/ keeps \d+ MB of write-ahead log that no server needs, until a transaction ends: /)
      expect(notices[0]).toContain(named(rows[0]!.pid))
      expect(notices[0]).toMatch(/, open for \d+ seconds$/)
      await long.query(end)
      await expect.poll(async () => (await anchor()).kept, { timeout: 15_000, interval: 100 }).toBeLessThan(2 * MB)
      expect(notices).toHaveLength(1)
    },
  )
})
