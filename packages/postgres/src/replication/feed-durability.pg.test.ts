import { randomInt } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startProcess, type TestProcess } from '../../test/child-process.ts'
import { collectFeed, type FeedCollector } from '../../test/feed-collector.ts'
import { usePostgres } from '../../test/postgres.ts'
import { dropSlot, listSlots } from '../index.ts'
import { isRunning } from '../io/embedded/postmaster-file.ts'

// A server that is killed has to find everything on disk that it said was there.
const postgres = usePostgres({ fsync: 'on', full_page_writes: 'on' })

let url: string
let writer: Writer
let feed: FeedCollector | undefined
let consumer: TestProcess | undefined

beforeEach(async () => {
  url = await postgres.createDatabase()
  await query('create table notes (id serial primary key, body text); create publication feed for table notes')
  writer = new Writer()
  feed = undefined
  consumer = undefined
})

afterEach(async () => {
  await writer.stop()
  await feed?.close()
  await consumer?.kill()
  const client = await connect()
  await expect
    .poll(async () => {
      for (const slot of await listSlots(client, 'tidewire')) await dropSlot(client, slot.name)
      return listSlots(client, 'tidewire')
    })
    .toEqual([])
  await client.end()
})

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  return client
}

async function query<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
  const client = await connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

/** Inserts transactions of 1 to 40 rows as fast as they go, whatever happens to the server. */
class Writer {
  #running = false
  #done: Promise<void> = Promise.resolve()

  start(): void {
    this.#running = true
    this.#done = this.#run()
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#done
  }

  async #run(): Promise<void> {
    while (this.#running) {
      try {
        const client = await connect()
        while (this.#running)
          await client.query(`insert into notes (body) select repeat('x', 150) from generate_series(1, $1)`, [randomInt(1, 41)])
        await client.end()
      } catch {
        await delay(20)
      }
    }
  }
}

async function committedIds(): Promise<number[]> {
  return (await query<{ id: number }>('select id from notes order by id')).map(({ id }) => id)
}

/** One writer: what was committed later has the higher ids, so order of commit is order of ids. */
function expectSame(seen: readonly number[], committed: readonly number[]): void {
  const expected = new Set(committed)
  const once = new Set(seen)
  expect({
    gaps: committed.filter((id) => !once.has(id)).length,
    duplicates: seen.length - once.size,
    unknown: seen.filter((id) => !expected.has(id)).length,
    reorders: seen.filter((id, index) => index > 0 && id < seen[index - 1]!).length,
  }).toEqual({ gaps: 0, duplicates: 0, unknown: 0, reorders: 0 })
}

test('a consumer that is killed again and again: no gap, no duplicate, no reorder', async () => {
  const file = join(dirname(postgres.server.dataDir), 'consumed')
  const kills = 12
  for (let kill = 0; kill <= kills; kill++) {
    consumer = startProcess('feed-consumer.ts', [url, file])
    expect(await consumer.line()).toBe('streaming')
    // The feed begins with its slot, which the first consumer makes.
    if (kill === 0) writer.start()
    if (kill === kills) break
    await delay(randomInt(5, 250))
    await consumer.kill('SIGKILL')
  }
  await writer.stop()
  const committed = await committedIds()
  const seen = async (): Promise<number[]> =>
    (await readFile(file, 'utf8').catch(() => '')).split('\n').flatMap((line) => (line === '' ? [] : [Number(line.split(' ')[2])]))
  await expect.poll(async () => (await seen()).at(-1), { timeout: 20_000 }).toBe(committed.at(-1))
  await consumer!.kill('SIGTERM')
  expectSame(await seen(), committed)
  expect(committed.length).toBeGreaterThan(1_000)
}, 120_000)

test('a Postgres that is killed again and again: no gap, no duplicate, no reorder', async () => {
  feed = collectFeed(url)
  await feed.streaming()
  writer.start()
  for (let kill = 0; kill < 6; kill++) {
    await delay(randomInt(50, 400))
    const { pid } = postgres.server
    process.kill(pid, 'SIGKILL')
    await postgres.restart()
    await feed.streaming()
  }
  await writer.stop()
  const committed = await committedIds()
  await feed.until(() => Number(feed?.changes.at(-1)?.newTuple?.text(0)) >= committed.at(-1)!, 20_000)
  expectSame(
    feed.changes.map((change) => Number(change.newTuple?.text(0))),
    committed,
  )
  expect(feed.epochs).toHaveLength(1)
}, 120_000)

test.each(['reading', 'paused'])(
  'a fast shutdown under load while the feed is %s ends in less than five seconds',
  async (mode) => {
    feed = collectFeed(url, { confirm: false })
    await feed.streaming()
    writer.start()
    await feed.until(() => feed!.changes.length > 500)
    if (mode === 'paused') {
      feed.source.pause()
      // Enough that the server is in the middle of sending.
      await query(`insert into notes (body) select repeat('y', 200) from generate_series(1, 50000)`)
    }
    const { pid } = postgres.server
    const begun = Date.now()
    // What `pg_ctl stop -m fast` does.
    process.kill(pid, 'SIGINT')
    while (isRunning(pid) && Date.now() - begun < 20_000) await delay(10)
    expect(Date.now() - begun).toBeLessThan(5_000)
    await postgres.restart()
    feed.source.resume()
    await writer.stop()
    const committed = await committedIds()
    await feed.until(() => Number(feed?.changes.at(-1)?.newTuple?.text(0)) >= committed.at(-1)!, 20_000)
    const seen = feed.changes.map((change) => Number(change.newTuple?.text(0)))
    // In the paused case two sessions write, so ids and commits may be in different order.
    expectSame(mode === 'paused' ? seen.sort((one, other) => one - other) : seen, committed)
  },
  60_000,
)
