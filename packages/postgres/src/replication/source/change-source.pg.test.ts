import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { collectFeed, describeChange, type FeedCollector } from '../../../test/feed-collector.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { dropSlot, listSlots, openChangeSource, recordWriter } from '../../index.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const postgres = usePostgres()

let url: string
let db: pg.Client
let feeds: FeedCollector[]

beforeEach(async () => {
  feeds = []
  url = await postgres.createDatabase()
  db = await connect()
  await db.query('create table notes (id int primary key, body text); create publication feed for table notes')
})

afterEach(async () => {
  for (const feed of feeds) await feed.close()
  for (const slot of await listSlots(db, 'tidewire')) await dropSlot(db, slot.name)
  await db.end()
})

async function connect(to = url): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: to })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function open(options: Parameters<typeof collectFeed>[1] = {}, to = url): Promise<FeedCollector> {
  const feed = collectFeed(to, options)
  feeds.push(feed)
  await feed.streaming()
  return feed
}

function ids(feed: FeedCollector): number[] {
  return feed.changes.map((change) => Number(change.newTuple?.text(0)))
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

async function slots(): Promise<Awaited<ReturnType<typeof listSlots>>> {
  return listSlots(db, 'tidewire')
}

async function anchors(): Promise<Awaited<ReturnType<typeof listSlots>>> {
  return (await slots()).filter(({ role }) => role === 'anchor')
}

async function copies(): Promise<Awaited<ReturnType<typeof listSlots>>> {
  return (await slots()).filter(({ role }) => role === 'copy')
}

describe('row changes', () => {
  test('come in commit order with what the catalog says', async () => {
    const feed = await open()
    await db.query(`insert into notes values (1, 'a'), (2, null)`)
    await db.query(`update notes set body = 'b' where id = 1`)
    await db.query(`update notes set id = 3 where id = 1`)
    await db.query(`delete from notes where id = 2`)
    await db.query(`truncate notes`)
    await feed.until(() => feed.changes.length === 6)
    expect(feed.changes.map(describeChange)).toEqual([
      'INSERT {"id": 1, "body": "a"}',
      'INSERT {"id": 2, "body": null}',
      'UPDATE {"id": 1, "body": "b"}',
      'UPDATE {"id": 3, "body": "b"}',
      'DELETE {"id": 2}',
      'TRUNCATE',
    ])
    expect(feed.changes.map(({ old }) => [old?.extent, old?.tuple.text(0)])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
      [undefined, undefined],
      ['key', '1'],
      ['key', '2'],
      [undefined, undefined],
    ])
    const [{ table, transaction }] = feed.changes as [(typeof feed.changes)[0]]
    expect(table).toMatchObject({ schema: 'public', name: 'notes', rowSecurity: false })
    expect(table.primaryKey.map(({ name }) => name)).toEqual(['id'])
    expect(table.columns.map(({ name, typeName, number }) => [name, typeName, number])).toEqual([
      ['id', 'int4', 1],
      ['body', 'text', 2],
    ])
    const now = (await db.query<{ us: string }>(`select (extract(epoch from now()) * 1000000)::int8 as us`)).rows[0]!.us
    expect(Math.abs(Number(BigInt(now) - transaction.commitTime))).toBeLessThan(60_000_000)
  })

  test('a rolled back transaction is nothing', async () => {
    const feed = await open()
    await db.query(`begin; insert into notes values (1, 'a'); rollback; insert into notes values (2, 'b')`)
    await feed.until(() => feed.changes.length > 0)
    expect(ids(feed)).toEqual([2])
  })

  test('large values that were not touched are left out, or come from the full old row', async () => {
    await db.query(`alter table notes alter body set storage external, add n int`)
    const feed = await open()
    const body = 'x'.repeat(10_000)
    await db.query(`insert into notes values (1, $1, 0)`, [body])
    await db.query(`update notes set n = 1`)
    await db.query(`alter table notes replica identity full`)
    await db.query(`update notes set n = 2`)
    await feed.until(() => feed.changes.length === 3)
    const [, left, full] = feed.changes.map(describeChange)
    expect(left).toBe('UPDATE {"n": 1, "id": 1}')
    expect(full).toBe(`UPDATE {"n": 2, "id": 1, "body": "${body}"}`)
    expect(feed.changes[2]!.table.columns.every(({ identity }) => identity)).toBe(true)
    expect(feed.changes[2]!.table.primaryKey.map(({ name }) => name)).toEqual(['id'])
  })

  test('generated columns are known, and in tuples when the publication has them', async () => {
    // Before version 18 all of them are stored, and no publication has them.
    const [kind, published] = postgres.version >= 18 ? ['virtual', true] : ['stored', false]
    await db.query(
      `create table sums (a int, b int primary key, sum int generated always as (a + b) stored, twice int generated always as (a * 2) ${kind})`,
    )
    const feed = await open({ publications: [{ name: 'feed' }, { name: 'made_here', tables: [{ schema: 'public', name: 'sums' }] }] })
    await db.query(`insert into sums values (1, 2)`)
    await feed.until(() => feed.changes.length === 1)
    const { table } = feed.changes[0]!
    expect(table.columns.map(({ name, generated, tupleIndex }) => [name, generated, tupleIndex === null])).toEqual([
      ['a', false, false],
      ['b', false, false],
      ['sum', true, !published],
      ['twice', true, true],
    ])
    const sum = published ? ', "sum": 3' : ''
    expect(describeChange(feed.changes[0]!)).toBe(`INSERT {"a": 1, "b": 2${sum}}`)
    expect(recordWriter(table.columns)(feed.changes[0]!.newTuple!, { computed: new Map([['twice', '2']]) })).toBe(
      `{"a": 1, "b": 2${sum}, "twice": 2}`,
    )
  })

  test('of two publications share one slot and their order', async () => {
    await db.query(`create table messages (id int primary key)`)
    const feed = await open({
      publications: [{ name: 'feed' }, { name: 'messages_feed', tables: [{ schema: 'public', name: 'messages' }], actions: ['insert'] }],
    })
    await db.query(
      `begin; insert into notes values (1); insert into messages values (2); insert into notes values (3); delete from messages; commit`,
    )
    await feed.until(() => feed.changes.length === 3)
    expect(feed.changes.map(({ table, seq }) => `${table.name} ${seq}`)).toEqual(['notes 0', 'messages 1', 'notes 2'])
    expect(await copies()).toHaveLength(1)
  })

  test('partitions are their table when the publication says so', async () => {
    await db.query(
      `create table logs (day date, n int) partition by range (day); create table logs_1 partition of logs for values from ('2024-01-01') to ('2025-01-01')`,
    )
    const feed = await open({ publications: [{ name: 'logs_feed', tables: [{ schema: 'public', name: 'logs' }], viaRoot: true }] })
    await db.query(`insert into logs values ('2024-05-05', 1)`)
    await feed.until(() => feed.changes.length === 1)
    expect(feed.changes[0]!.table.name).toBe('logs')
  })
})

describe('a table that changes under the feed', () => {
  test('is described again: columns, policies, row level security', async () => {
    const feed = await open()
    const steps = [
      `insert into notes values (1, 'a')`,
      `alter table notes add extra jsonb; insert into notes values (2, 'b', '{"x": 1}')`,
      `alter table notes enable row level security; insert into notes values (3, 'c')`,
      `create policy p on notes using (true); insert into notes values (4, 'd')`,
      `alter table notes drop body; insert into notes values (5)`,
    ]
    for (const [index, step] of steps.entries()) {
      await db.query(step)
      await feed.until(() => feed.changes.length === index + 1)
    }
    expect(new Set(feed.changes.map(({ table }) => table)).size).toBe(5)
    expect(feed.changes.map(({ table }) => table.rowSecurity)).toEqual([false, false, true, true, true])
    expect(feed.changes.map(describeChange)).toEqual([
      'INSERT {"id": 1, "body": "a"}',
      'INSERT {"id": 2, "body": "b", "extra": {"x": 1}}',
      'INSERT {"id": 3, "body": "c", "extra": null}',
      'INSERT {"id": 4, "body": "d", "extra": null}',
      'INSERT {"id": 5, "extra": null}',
    ])
  })

  test('and is gone before its changes are read: they still come', async () => {
    const feed = await open()
    feed.source.pause()
    await db.query(`create type mood as enum ('sad'); create table moods (id int primary key, m mood, n numeric[])`)
    await db.query(`alter publication feed add table moods`)
    await db.query(`insert into moods values (1, 'sad', '{1,2}')`)
    await db.query(`drop table moods; drop type mood`)
    await db.query(`insert into notes values (1, 'after')`)
    feed.source.resume()
    await feed.until(() => feed.changes.length === 2)
    expect(feed.changes[0]!.table.columns.map(({ number }) => number)).toEqual([0, 0, 0])
    expect(feed.changes.map(describeChange)).toEqual(['INSERT {"m": "sad", "n": [1, 2], "id": 1}', 'INSERT {"id": 1, "body": "after"}'])
  })

  test('a table that joins the publication is heard from then on', async () => {
    const feed = await open()
    await db.query(`create table later (id int primary key)`)
    await db.query(`insert into later values (1)`)
    await db.query(`alter publication feed add table later`)
    await db.query(`insert into later values (2)`)
    await feed.until(() => feed.changes.length === 1)
    expect(describeChange(feed.changes[0]!)).toBe('INSERT {"id": 2}')
    expect(feed.epochs).toHaveLength(1)
  })
})

describe('whatever happens to the connection', () => {
  test('a Postgres that restarts: the feed goes on by itself, nothing lost or twice', async () => {
    const feed = await open()
    await db.query(`insert into notes select generate_series(1, 100)`)
    await feed.until(() => feed.changes.length === 100)
    await db.end()
    await postgres.restart()
    db = await connect()
    await db.query(`insert into notes select generate_series(101, 200)`)
    await feed.until(() => feed.changes.length === 200)
    expect(ids(feed)).toEqual(upTo(200))
    expect(feed.epochs).toHaveLength(1)
  })

  test('a network that breaks: again and again while rows come', async () => {
    const { proxy, through } = await postgres.proxied(url)
    const feed = await open({}, through)
    for (let round = 0; round < 8; round++) {
      await db.query(`insert into notes select generate_series($1::int, $1 + 499)`, [round * 500 + 1])
      if (round % 2 === 0) await feed.until(() => feed.changes.length > round * 500)
      proxy.drop()
    }
    await feed.until(() => feed.changes.length >= 4_000)
    expect(ids(feed)).toEqual(upTo(4_000))
    expect(feed.epochs).toHaveLength(1)
    expect(feed.statuses.some((status) => status.kind === 'waiting')).toBe(true)
  })

  test('a network that goes silent is noticed, and what it left on the server does not hold the slot', async () => {
    const { proxy, through } = await postgres.proxied(url)
    const feed = await open({ statusIntervalMs: 100 }, through)
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.changes.length === 1)
    proxy.freeze()
    await db.query(`insert into notes values (2)`)
    await feed.until(() => feed.changes.length === 2, 5_000)
    expect(feed.statuses).toContainEqual({ kind: 'waiting', fault: expect.objectContaining({ kind: 'silent' }) })
    expect(ids(feed)).toEqual([1, 2])
    expect(feed.epochs).toHaveLength(1)
  })

  test('sessions that an administrator ends come back', async () => {
    const feed = await open()
    await db.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'tidewire feed%'`)
    await feed.until(() => feed.source.status.kind === 'waiting')
    await feed.streaming()
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.changes.length === 1)
  })
})

describe('a new epoch', () => {
  test('when a publication is dropped and created again', async () => {
    const feed = await open({ checkIntervalMs: 200 })
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.changes.length === 1)
    await db.query(`drop publication feed`)
    await db.query(`create publication feed for table notes`)
    await db.query(`insert into notes values (2)`)
    await feed.until(() => feed.epochs.length === 2)
    expect(feed.epochs[1]).toMatchObject({ previous: feed.epochs[0]!.epoch, reason: 'publication-changed' })
    await feed.streaming()
    await db.query(`insert into notes values (3)`)
    await feed.until(() => ids(feed).includes(3))
    expect(await anchors()).toHaveLength(1)
  })

  test('when a publication is dropped: it is made again', async () => {
    const feed = await open({ checkIntervalMs: 200, publications: [{ name: 'feed', tables: [{ schema: 'public', name: 'notes' }] }] })
    await db.query(`drop publication feed`)
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.epochs.length === 2)
    await feed.streaming()
    await db.query(`insert into notes values (2)`)
    await feed.until(() => ids(feed).includes(2))
  })

  test('when a publication was created again while no server ran', async () => {
    const first = await open()
    await first.close()
    await db.query(`drop publication feed; create publication feed for table notes`)
    const second = await open()
    expect(second.source.epoch).not.toBe(first.source.epoch)
    await db.query(`insert into notes values (1)`)
    await second.until(() => ids(second).includes(1))
  })

  test('when the slot was dropped', async () => {
    const first = await open()
    await first.close()
    await db.query(
      `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name ~ '^tidewire_' and database = current_database()`,
    )
    const second = await open()
    expect(second.epochs).toEqual([
      { epoch: expect.not.stringMatching(first.source.epoch!), previous: null, reason: 'created', isOtherLog: false },
    ])
  })

  test('when Postgres threw away WAL that the slot needed', async () => {
    await db.query(`alter system set max_slot_wal_keep_size = '32MB'`)
    await db.query(`select pg_reload_conf()`)
    try {
      const feed = await open({ confirm: false })
      await db.query(`insert into notes values (1)`)
      await feed.until(() => feed.changes.length === 1)
      for (let segment = 0; segment < 6; segment++) await db.query(`select pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()`)
      await db.query('checkpoint')
      await feed.until(() => feed.epochs.length === 2)
      expect(feed.epochs[1]).toMatchObject({ previous: feed.epochs[0]!.epoch, reason: 'lost' })
      await feed.streaming()
      await db.query(`insert into notes values (2)`)
      await feed.until(() => ids(feed).includes(2))
      expect(await anchors()).toHaveLength(1)
    } finally {
      await db.query(`alter system reset max_slot_wal_keep_size`)
      await db.query(`select pg_reload_conf()`)
    }
  })
})

describe('the slot', () => {
  test('keeps what was not confirmed for the next start', async () => {
    const first = await open({ confirm: false })
    await db.query(`insert into notes values (1)`)
    await db.query(`insert into notes values (2)`)
    await first.until(() => first.changes.length === 2)
    first.source.confirm(first.source.epoch!, first.changes[0]!.transaction.commitLsn + 48n)
    await first.close()
    const second = await open()
    await second.until(() => ids(second).includes(2))
    // What was confirmed since the anchor was last advanced comes again, at the same position.
    const position = (feed: FeedCollector): unknown => feed.changes.find(({ newTuple }) => newTuple?.text(0) === '2')!.transaction
    expect(position(second)).toEqual(position(first))
    expect(second.source.epoch).toBe(first.source.epoch)
  })

  test('moves on while nothing of interest happens, and the anchor with it', async () => {
    const feed = await open({ statusIntervalMs: 50, advanceIntervalMs: 50 })
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.changes.length === 1)
    const before = (await copies())[0]!.confirmedLsn!
    await db.query(`create table elsewhere as select generate_series(1, 10000)`)
    await expect.poll(async () => (await copies())[0]!.confirmedLsn! > before + 100_000n, { timeout: 10_000 }).toBe(true)
    await expect.poll(async () => (await anchors())[0]!.confirmedLsn! > before + 100_000n, { timeout: 10_000 }).toBe(true)
  })

  test('stays where it is while something is owed, and the anchor with it', async () => {
    const feed = await open({ confirm: false, statusIntervalMs: 50, checkIntervalMs: 50, advanceIntervalMs: 20 })
    const before = (await copies())[0]!.confirmedLsn!
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.changes.length === 1)
    await db.query(`create table elsewhere as select generate_series(1, 10000)`)
    await feed.until(() => feed.source.serverLsn - feed.source.confirmedLsn > 100_000n)
    for (const { confirmedLsn } of await slots()) {
      expect(confirmedLsn! < feed.changes[0]!.transaction.commitLsn).toBe(true)
      expect(confirmedLsn! >= before).toBe(true)
    }
  })

  test('is gone when close has come back, and the anchor stays', async () => {
    const feed = await open()
    await feed.close()
    expect(await slots()).toMatchObject([{ role: 'anchor', activePid: null }])
  })

  test('is gone at once when there is no anchor, and a reconnect is a new epoch', async () => {
    const { proxy, through } = await postgres.proxied(url)
    const feed = await open({ temporarySlot: true }, through)
    expect(await slots()).toMatchObject([{ role: 'temporary' }])
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.changes.length === 1)
    proxy.drop()
    await feed.until(() => feed.epochs.length === 2)
    await feed.streaming()
    await db.query(`insert into notes values (2)`)
    await feed.until(() => feed.changes.length === 2)
    await feed.close()
    await expect.poll(slots).toEqual([])
  })
})

describe('pause', () => {
  test('hands out nothing, keeps the connection, and goes on', async () => {
    const feed = await open({ statusIntervalMs: 50 })
    await db.query(`insert into notes values (0)`)
    await feed.until(() => feed.changes.length === 1)
    feed.source.pause()
    await db.query(`insert into notes select generate_series(1, 50000)`)
    const replyTime = async (): Promise<string> =>
      (
        await db.query<{ at: string }>(
          `select reply_time::text as at from pg_stat_replication where application_name like 'tidewire feed%'`,
        )
      ).rows[0]!.at
    const first = await replyTime()
    await expect.poll(async () => (await replyTime()) > first, { timeout: 5_000 }).toBe(true)
    expect(feed.changes).toHaveLength(1)
    feed.source.resume()
    await feed.until(() => feed.changes.length === 50_001)
    expect(ids(feed)).toEqual([0, ...upTo(50_000)])
    expect(feed.statuses.map(({ kind }) => kind)).toEqual(['streaming'])
  })
})

/** What is reachable; without garbage, of which there is more the later V8 collects it. */
function heldBytes(): number {
  collectGarbage()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

test('a transaction of 500,000 rows streams through in bounded memory', async () => {
  let rows = 0
  let largest = 0
  let last = 0
  let peak = 0
  let inOrder = true
  const feed = await open({
    keep: false,
    onBatch: (changes) => {
      largest = Math.max(largest, changes.length)
      for (const { newTuple, seq } of changes) {
        inOrder &&= Number(newTuple!.text(0)) === rows + 1 && seq === rows
        rows++
      }
      if (rows - last < 50_000) return
      last = rows
      peak = Math.max(peak, heldBytes())
    },
  })
  const before = heldBytes()
  await db.query(`insert into notes select n, repeat('x', 100) from generate_series(1, 500000) n`)
  await feed.until(() => rows === 500_000, 60_000)
  expect(inOrder).toBe(true)
  expect(largest).toBeLessThanOrEqual(256)
  // The rows alone are 70 MB on the wire.
  expect((peak - before) / 1_048_576).toBeLessThan(16)
}, 90_000)

describe('refusals name what is missing', () => {
  test('a wrong password', async () => {
    const feed = collectFeed(url.replace(/:[^:@]+@/, ':wrong@'))
    feeds.push(feed)
    await feed.until(() => feed.source.status.kind === 'waiting')
    expect(feed.source.status).toMatchObject({ fault: { kind: 'refused', code: '28P01' } })
    expect(JSON.stringify(feed.statuses)).not.toContain('wrong')
  })

  test('a role that may not replicate, until it may', async () => {
    await db.query(`create role reader login password 'reader'`)
    const asReader = url.replace(/\/\/[^@]+@/, '//reader:reader@')
    const feed = collectFeed(asReader)
    feeds.push(feed)
    await feed.until(() => feed.source.status.kind === 'waiting')
    expect(feed.source.status).toMatchObject({ fault: { kind: 'refused', code: '42501' } })
    await db.query(`alter role reader replication`)
    await feed.streaming()
    await db.query(`insert into notes values (1)`)
    await feed.until(() => feed.changes.length === 1)
    await feed.close()
    await db.query(`drop role reader`)
  })

  test('a server that is not there, until it is', async () => {
    const feed = collectFeed('postgres://postgres@127.0.0.1:1/postgres')
    feeds.push(feed)
    await feed.until(() => feed.source.status.kind === 'waiting')
    expect(feed.source.status).toMatchObject({ fault: { kind: 'unreachable' } })
  })

  test('options that cannot be', () => {
    const options = { connection: url, slot: 'Bad Name', publications: [], statusIntervalMs: 0, handlers: { onChanges: () => {} } }
    expect(() => openChangeSource(options)).toThrow(/slot must be .*; publications must .*; statusIntervalMs must/)
  })
})
