/** What may stand in the way of a node that takes its copy of the anchor, and what Postgres may throw away meanwhile. */
import type * as nodeCrypto from 'node:crypto'
import type pg from 'pg'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { collectFeed, type FeedCollector } from '../../../test/feed-collector.ts'
import { usePostgres } from '../../../test/postgres.ts'
import { dropSlot, listSlots, type Slot } from '../../index.ts'

/** What is drawn for the next names of slots; then random bytes again. */
const drawn = vi.hoisted((): Buffer[] => [])
vi.mock('node:crypto', async (original) => {
  const crypto = await original<Pick<typeof nodeCrypto, 'randomBytes'>>()
  return { ...crypto, randomBytes: (size: number) => (drawn[0]?.length === size ? drawn.shift()! : crypto.randomBytes(size)) }
})

const postgres = usePostgres({ max_slot_wal_keep_size: '64MB' })

let url: string
let db: pg.Client
let feeds: FeedCollector[]

beforeEach(async () => {
  drawn.length = 0
  feeds = []
  url = await postgres.createDatabase()
  db = await postgres.connect(url)
  await db.query('create table notes (id int primary key, body text); create publication feed for table notes')
})

afterEach(async () => {
  for (const feed of feeds) await feed.close()
  for (const { name } of await listSlots(db, 'tidewire')) await dropSlot(db, name)
  await db.end()
})

function start(options: Parameters<typeof collectFeed>[1] = {}): FeedCollector {
  const feed = collectFeed(url, { checkIntervalMs: 100, ...options })
  feeds.push(feed)
  return feed
}

async function anchors(): Promise<Slot[]> {
  return (await listSlots(db, 'tidewire')).filter(({ role }) => role === 'anchor')
}

async function copies(): Promise<string[]> {
  return (await listSlots(db, 'tidewire')).filter(({ role }) => role === 'copy').map(({ name }) => name)
}

const ids = (feed: FeedCollector): number[] => feed.changes.map(({ newTuple }) => Number(newTuple?.text(0)))

describe('the name of a copy', () => {
  test('that is taken: another one is tried, the reader of the first goes on, and no anchor is lost', async () => {
    const first = start({ node: 'web' })
    await first.streaming()
    const [before] = await anchors()
    const [slot] = (await copies()) as [string]
    const taken = Buffer.from(slot.slice(-6), 'hex')
    drawn.push(taken)
    const second = start({ node: 'web' })
    await second.streaming()
    expect(second.statuses).toContainEqual({
      kind: 'waiting',
      fault: { kind: 'slot-held', message: expect.stringContaining(`"${slot}" already exists`) },
    })
    expect(drawn).toEqual([])
    expect(await copies()).toEqual([expect.any(String), expect.any(String)])
    await db.query('insert into notes values (1)')
    await Promise.all([first, second].map((feed) => feed.until(() => ids(feed).includes(1))))
    expect([first, second].map(({ epochs }) => epochs.length)).toEqual([1, 1])
    expect((await anchors()).map(({ name }) => name)).toEqual([before!.name])
  })
})

describe('an anchor of which Postgres threw away the log', () => {
  test('is replaced by one of the nodes that find it so in the same moment, and all move to its epoch', { timeout: 60_000 }, async () => {
    const nodes = Array.from({ length: 3 }, () => start({ confirm: false, windowBytes: 2 ** 40, advanceIntervalMs: 3_600_000 }))
    await Promise.all(nodes.map((feed) => feed.streaming()))
    await db.query('insert into notes values (1)')
    await Promise.all(nodes.map((feed) => feed.until(() => ids(feed).includes(1))))
    const { epoch } = nodes[0]!.source
    const [lost] = await anchors()
    // All of them hold the window back, so that Postgres gives up the slots.
    for (let round = 0; (await anchors()).some(({ name, lostBecause }) => name === lost!.name && lostBecause === null); round++) {
      if (round > 20) throw new Error('the anchor was never lost')
      await db.query(`select pg_logical_emit_message(false, 'filler', repeat('x', 16000000)), pg_switch_wal()`)
      await postgres.admin.query('checkpoint')
    }
    await Promise.all(nodes.map((feed) => feed.until(() => feed.epochs.length === 2, 30_000)))
    await Promise.all(nodes.map((feed) => feed.streaming()))
    const made = await anchors()
    expect(made.map(({ name }) => name)).not.toContain(lost!.name)
    expect(made).toHaveLength(1)
    expect(new Set(nodes.map(({ source }) => source.epoch)).size).toBe(1)
    expect(nodes.map(({ epochs }) => epochs[1]!.previous)).toEqual([epoch, epoch, epoch])
    // One has made it, and says why.
    expect(nodes.map(({ epochs }) => epochs[1]!.reason).sort()).toEqual(['found', 'found', 'lost'])
    await db.query('insert into notes values (2)')
    await Promise.all(nodes.map((feed) => feed.until(() => ids(feed).includes(2))))
    expect(nodes.map(ids)).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ])
  })
})
