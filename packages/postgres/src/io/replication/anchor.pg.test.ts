/** Several nodes on one database: the anchor, its copies, and what may happen to them. */
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { collectFeed, type FeedCollector } from '../../../test/feed-collector.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { dropSlot, listSlots, type Slot } from '../../index.ts'
import { takeAnchor } from './anchor.ts'
import { ReplicationConnection } from './replication-connection.ts'
import { createSlot } from './slot.ts'

const postgres = usePostgres({ max_replication_slots: '5' })

let url: string
let db: pg.Client
let feeds: FeedCollector[]
let readers: ReplicationConnection[]

beforeEach(async () => {
  feeds = []
  readers = []
  url = await postgres.createDatabase()
  db = new pg.Client({ connectionString: url })
  db.on('error', () => {})
  await db.connect()
  await db.query('create table notes (id int primary key, body text); create publication feed for table notes')
})

afterEach(async () => {
  for (const feed of feeds) await feed.close()
  for (const reader of readers) await reader.close()
  for (const { name } of await listSlots(db, 'tidewire')) await dropSlot(db, name)
  await db.end()
})

type Options = Parameters<typeof collectFeed>[1]

function start(options: Options = {}, to = url): FeedCollector {
  const feed = collectFeed(to, { checkIntervalMs: 100, ...options })
  feeds.push(feed)
  return feed
}

async function open(options: Options = {}, to = url): Promise<FeedCollector> {
  const feed = start(options, to)
  await feed.streaming()
  return feed
}

async function byRole(role: Slot['role']): Promise<Slot[]> {
  return (await listSlots(db, 'tidewire')).filter((slot) => slot.role === role)
}

async function theAnchor(): Promise<Slot> {
  const anchors = await byRole('anchor')
  expect(anchors).toHaveLength(1)
  return anchors[0]!
}

function ids(feed: FeedCollector): number[] {
  return feed.changes.map(({ newTuple }) => Number(newTuple?.text(0)))
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

/** Reads a slot as a server of version 0.1 does: itself, and under a lock that it keeps. */
async function readAsOldServer(slot: string): Promise<ReplicationConnection> {
  const reader = await ReplicationConnection.open({ connectionString: url }, 'old server')
  readers.push(reader)
  reader.start(slot, ['feed'], 0n, { data() {}, keepalive() {}, drained() {}, failed() {} })
  await expect.poll(async () => (await listSlots(db, 'tidewire')).find(({ name }) => name === slot)?.activePid ?? null).not.toBeNull()
  return reader
}

describe('several nodes', () => {
  test('read the same changes at the same positions in one epoch, and one that comes later has what was not confirmed', async () => {
    const first = await open({ confirm: false, node: 'Web 1.example' })
    const second = await open({ confirm: false, node: 'web-2' })
    await db.query(`insert into notes select generate_series(1, 5)`)
    await db.query(`insert into notes values (6)`)
    await Promise.all([first, second].map((feed) => feed.until(() => feed.changes.length === 6)))
    const third = await open({ confirm: false, node: 'web-3' })
    await third.until(() => third.changes.length === 6)
    const places = (feed: FeedCollector): unknown => feed.changes.map(({ transaction, seq }) => [transaction.commitLsn, seq])
    for (const feed of [second, third]) {
      expect(feed.source.epoch).toBe(first.source.epoch)
      expect(places(feed)).toEqual(places(first))
      expect(feed.epochs).toMatchObject([{ previous: null, reason: 'found' }])
    }
    expect((await byRole('copy')).map(({ node }) => node).sort()).toEqual(['web_1_example', 'web_2', 'web_3'])
    expect(await theAnchor()).toMatchObject({ node: null, activePid: null, temporary: false })
    await expect.poll(() => [...first.source.peers].sort(), { timeout: 5_000 }).toEqual(['web_2', 'web_3'])
  })

  test('that start at once make one anchor', async () => {
    const all = Array.from({ length: 4 }, () => start())
    await Promise.all(all.map((feed) => feed.streaming()))
    await theAnchor()
    expect(new Set(all.map(({ source }) => source.epoch)).size).toBe(1)
    await db.query(`insert into notes values (1)`)
    await Promise.all(all.map((feed) => feed.until(() => ids(feed).includes(1))))
  })

  test('that find none in the same moment make one: the others are held off, and find it', async () => {
    const nodes = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const [catalog, stream] = await Promise.all([
          postgres.connect(url),
          ReplicationConnection.open({ connectionString: url }, 'tidewire test'),
        ])
        readers.push(stream)
        return { catalog, stream }
      }),
    )
    const take = (): Promise<(string | Error)[]> =>
      Promise.all(
        nodes.map(({ catalog, stream }) =>
          takeAnchor(catalog, stream, { slotBase: 'tidewire', rejected: null, onSlow: () => {} }).then(
            ({ name }) => name,
            (error: Error) => error,
          ),
        ),
      )
    const { name } = await take().then(theAnchor)
    expect(await take()).toEqual([name, name, name])
    for (const { catalog } of nodes) await catalog.end()
  })

  test('that find none while another prepares it make none', async () => {
    const [preparing, catalog, stream] = await Promise.all([
      postgres.connect(url),
      postgres.connect(url),
      ReplicationConnection.open({ connectionString: url }, 'tidewire test'),
    ])
    readers.push(stream)
    const take = (): Promise<unknown> => takeAnchor(catalog, stream, { slotBase: 'tidewire', rejected: null, onSlow: () => {} })
    const lock = `hashtext('tidewire feed'), hashtext('tidewire')`
    await preparing.query(`select pg_advisory_lock(${lock})`)
    await expect(take()).rejects.toMatchObject({ fault: { kind: 'slot-held' } })
    expect(await byRole('anchor')).toEqual([])
    await preparing.query(`select pg_advisory_unlock(${lock})`)
    expect(await take()).toEqual({ name: (await theAnchor()).name, reason: 'created' })
    await Promise.all([preparing.end(), catalog.end()])
  })

  test('leave nothing behind but the anchor', async () => {
    const { proxy, through } = await postgres.proxied(url)
    const cut = await open({}, through)
    const closed = await open()
    await closed.close()
    proxy.drop()
    await cut.close()
    await expect.poll(async () => (await listSlots(db, 'tidewire')).map(({ role }) => role)).toEqual(['anchor'])
  })

  test('hold the anchor back by the slowest of them, and one that is behind the window does not', async () => {
    const slow = await open({ confirm: false, statusIntervalMs: 50, advanceIntervalMs: 50, windowBytes: 4_000_000 })
    const fast = await open({ statusIntervalMs: 50, advanceIntervalMs: 50, windowBytes: 4_000_000 })
    await db.query(`insert into notes values (1)`)
    await Promise.all([slow, fast].map((feed) => feed.until(() => feed.changes.length === 1)))
    const { commitLsn } = slow.changes[0]!.transaction
    await db.query(`create table filler as select repeat('x', 100) from generate_series(1, 10000)`)
    await expect.poll(async () => (await byRole('copy')).filter(({ confirmedLsn }) => confirmedLsn! > commitLsn).length).toBe(1)
    expect((await theAnchor()).confirmedLsn! <= commitLsn).toBe(true)
    // A third node would still get it.
    const third = await open({ confirm: false })
    await third.until(() => ids(third).includes(1))
    await db.query(`insert into filler select repeat('x', 100) from generate_series(1, 40000)`)
    await expect.poll(async () => (await theAnchor()).confirmedLsn! > commitLsn, { timeout: 10_000 }).toBe(true)
  })
})

describe('a node that is cut off', () => {
  test('goes on where it was while others advance the anchor', async () => {
    const { proxy, through } = await postgres.proxied(url)
    const cut = await open({ confirm: false }, through)
    const other = await open({ confirm: false, advanceIntervalMs: 50 })
    for (let round = 0; round < 6; round++) {
      await db.query(`insert into notes select generate_series($1::int, $1 + 99)`, [round * 100 + 1])
      if (round % 2 === 0) await cut.until(() => cut.changes.length > round * 100)
      proxy.drop()
    }
    await Promise.all([cut, other].map((feed) => feed.until(() => feed.changes.length >= 600)))
    expect(ids(cut)).toEqual(upTo(600))
    expect(cut.epochs).toHaveLength(1)
  })

  test('reports a gap when the anchor was advanced past it by hand', async () => {
    const { proxy, through } = await postgres.proxied(url)
    const cut = await open({ confirm: false }, through)
    const other = await open({ confirm: false })
    await db.query(`insert into notes values (1)`)
    await Promise.all([cut, other].map((feed) => feed.until(() => feed.changes.length === 1)))
    proxy.cut()
    await cut.until(() => cut.source.status.kind === 'waiting')
    await db.query(`insert into notes values (2)`)
    await db.query(`create table filler as select generate_series(1, 1000)`)
    await db.query(`select pg_replication_slot_advance($1, pg_current_wal_lsn())`, [(await theAnchor()).name])
    proxy.heal()
    await cut.until(() => cut.epochs.length === 2)
    const { epoch } = other.source
    expect(cut.epochs[1]).toEqual({ epoch, previous: epoch, reason: 'fell-behind', isOtherLog: false })
    await db.query(`insert into notes values (3)`)
    await Promise.all([cut, other].map((feed) => feed.until(() => ids(feed).includes(3))))
    expect(ids(cut)).toEqual([1, 3])
    expect(ids(other)).toEqual([1, 2, 3])
  })

  test('skips what it has handed on when the anchor is further back than it was', async () => {
    const { proxy, through } = await postgres.proxied(url)
    // Nothing is confirmed, so the anchor stays where it was made.
    const feed = await open({ confirm: false }, through)
    await db.query(`insert into notes select generate_series(1, 50)`)
    await feed.until(() => feed.changes.length === 50)
    proxy.drop()
    await db.query(`insert into notes values (51)`)
    await feed.until(() => ids(feed).includes(51))
    expect(ids(feed)).toEqual(upTo(51))
  })
})

describe('bad input', () => {
  test('no free slot: a sentence, and it goes on when there is one', async () => {
    const blockers = upTo(5).map((at) => `blocker_${at}`)
    for (const name of blockers) await db.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [name])
    try {
      const feed = start()
      await feed.until(() => feed.source.status.kind === 'waiting')
      expect(feed.source.status).toMatchObject({
        fault: { kind: 'exhausted', message: expect.stringMatching(/raise max_replication_slots/) },
      })
      // One for the anchor, none for the copy.
      await db.query(`select pg_drop_replication_slot('blocker_1')`)
      await expect.poll(async () => (await byRole('anchor')).length, { timeout: 10_000 }).toBe(1)
      await db.query(`select pg_drop_replication_slot('blocker_2')`)
      await feed.streaming()
    } finally {
      for (const name of blockers) await dropSlot(db, name)
    }
  })

  test('the anchor dropped by hand: one node makes another one, all move to its epoch', async () => {
    const all = [await open(), await open(), await open()]
    const { epoch } = all[0]!.source
    await db.query(`insert into notes values (1)`)
    await Promise.all(all.map((feed) => feed.until(() => feed.changes.length === 1)))
    await db.query(`select pg_drop_replication_slot($1)`, [(await theAnchor()).name])
    await Promise.all(all.map((feed) => feed.until(() => feed.epochs.length === 2)))
    await Promise.all(all.map((feed) => feed.streaming()))
    await theAnchor()
    expect(new Set(all.map(({ source }) => source.epoch)).size).toBe(1)
    expect(all[0]!.source.epoch).not.toBe(epoch)
    expect(all.map(({ epochs }) => epochs[1]!.previous)).toEqual([epoch, epoch, epoch])
    await db.query(`insert into notes values (2)`)
    await Promise.all(all.map((feed) => feed.until(() => ids(feed).includes(2))))
  })

  test('a server of version 0.1 still reads the slot: it becomes the anchor with its name, and nothing is lost', async () => {
    const old = await ReplicationConnection.open({ connectionString: url }, 'old server')
    readers.push(old)
    await createSlot(old, 'tidewire_0123abcd', false)
    await old.close()
    const reader = await readAsOldServer('tidewire_0123abcd')
    await db.query(`insert into notes values (1)`)
    const notices: string[] = []
    const feed = await open({ confirm: true, statusIntervalMs: 50, advanceIntervalMs: 50, onNotice: (sentence) => notices.push(sentence) })
    expect(feed.epochs).toMatchObject([{ previous: null, reason: 'found' }])
    await feed.until(() => ids(feed).includes(1))
    await db.query(`create table filler as select repeat('x', 100) from generate_series(1, 10000)`)
    await expect
      .poll(() => notices, { timeout: 10_000 })
      .toMatchObject([expect.stringMatching(/tidewire_0123abcd is read by another process/)])
    const before = (await theAnchor()).confirmedLsn!
    await reader.close()
    await expect.poll(async () => (await theAnchor()).confirmedLsn! > before, { timeout: 10_000 }).toBe(true)
    expect((await theAnchor()).name).toBe('tidewire_0123abcd')
  })

  test('a server of version 0.1 reads a slot that has to be replaced: it is waited for, with a sentence', async () => {
    const old = await ReplicationConnection.open({ connectionString: url }, 'old server')
    readers.push(old)
    await createSlot(old, 'tidewire_0123abcd', false)
    await old.close()
    await db.query('drop publication feed')
    const reader = await readAsOldServer('tidewire_0123abcd')
    const feed = start()
    await feed.until(() => feed.source.status.kind === 'waiting')
    expect(feed.source.status).toMatchObject({ fault: { kind: 'slot-held', message: expect.stringMatching(/an older server reads it/) } })
    await reader.close()
    await feed.streaming()
    expect((await theAnchor()).name).not.toBe('tidewire_0123abcd')
  })

  test('the login needs no more than LOGIN, REPLICATION and CREATE', async () => {
    await db.query(
      `create role plain login replication password 'plain'; grant create on database ${db.database} to plain; grant create, usage on schema public to plain`,
    )
    await db.query('drop publication feed')
    const asPlain = url.replace(/\/\/[^@]+@/, '//plain:plain@')
    const plain = new pg.Client({ connectionString: asPlain })
    await plain.connect()
    await plain.query('create table own (id int primary key)')
    const feed = await open(
      { publications: [{ name: 'feed', tables: [{ schema: 'public', name: 'own' }] }], statusIntervalMs: 50, advanceIntervalMs: 50 },
      asPlain,
    )
    await plain.query('insert into own values (1)')
    await feed.until(() => ids(feed).includes(1))
    const before = (await theAnchor()).confirmedLsn!
    await plain.query(`create table filler as select repeat('x', 100) from generate_series(1, 10000)`)
    await expect.poll(async () => (await theAnchor()).confirmedLsn! > before, { timeout: 10_000 }).toBe(true)
    await feed.close()
    await plain.end()
    await db.query('drop owned by plain; drop role plain')
  })

  test('making the anchor waits for open transactions, and says so', async () => {
    const open_ = new pg.Client({ connectionString: url })
    await open_.connect()
    await open_.query('begin; insert into notes values (1)')
    const notices: string[] = []
    const feed = start({ onNotice: (sentence) => notices.push(sentence) })
    await expect.poll(() => notices, { timeout: 10_000 }).toMatchObject([expect.stringMatching(/waits for transactions that are open/)])
    await open_.query('commit')
    await feed.streaming()
    await open_.end()
  })
})
