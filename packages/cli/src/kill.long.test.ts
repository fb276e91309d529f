/**
 * The server, and in another run Postgres, are killed at random moments while rows are written. A client that always comes
 * back with its last position has to see every row that is its user's once, in order, and no other.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freePort } from '@tidewire/testkit'
import { ChangeCollector } from '../test/change-collector.ts'
import { CliSandbox, type CliProcess } from '../test/cli-process.ts'
import { signJwt } from './jwt.ts'
import { DatabaseFolder } from '../test/database-folder.ts'

const SECRET = 'a-secret-that-is-only-for-these-tests'
const ME = '11111111-1111-1111-1111-111111111111'
const OTHER = '22222222-2222-2222-2222-222222222222'
const WRITERS = 3
const KILLS = Number(process.env['TIDEWIRE_KILLS'] ?? 12)

let folder: DatabaseFolder
let postgres: EmbeddedPostgres
let sandbox: CliSandbox
let port: number

beforeEach(async () => {
  folder = new DatabaseFolder()
  sandbox = new CliSandbox()
  port = await freePort()
  postgres = await folder.start()
})
afterEach(async () => {
  await sandbox.clear()
  await folder.clear()
})

test(`the server is killed ${KILLS} times under load`, async () => {
  let server = await startServer()
  await play(async (collector) => {
    const { joins } = collector
    await server.kill()
    server = await startServer()
    await collector.until(() => collector.joins > joins, 60_000)
  })
})

test(`Postgres is killed ${KILLS} times under load`, async () => {
  await startServer()
  await play(async (collector) => {
    process.kill(postgres.pid, 'SIGKILL')
    postgres = await folder.start({ port: postgres.port })
    // The server lives on, and so does the channel.
    const seen = collector.changes.length
    await collector.until(() => collector.changes.length > seen, 60_000)
  })
})

async function play(kill: (collector: ChangeCollector) => Promise<void>): Promise<void> {
  await onDatabase(async (sql) => {
    await sql.query(
      `create table journal (id bigserial primary key, owner uuid, writer int, n int, body text);
       alter table journal enable row level security;
       create policy own on journal for select to authenticated using (owner = auth.uid());
       grant select on journal to authenticated;
       alter publication supabase_realtime add table journal`,
    )
  })
  const token = await signJwt({ role: 'authenticated', sub: ME, exp: Math.floor(Date.now() / 1000) + 3_600 }, SECRET)
  const collector = new ChangeCollector(`http://127.0.0.1:${port}`, token, { event: 'INSERT', schema: 'public', table: 'journal' })
  const load = new Load()
  try {
    await collector.until(() => collector.joins > 0, 30_000)
    load.start()
    for (let killed = 0; killed < KILLS; killed++) {
      await kill(collector)
      await delay(Math.random() * 1_200)
    }
    await load.stop()
    const written = await onDatabase(async (sql) => (await sql.query<Row>('select writer, n, owner from journal order by writer, n')).rows)
    const mine = written.filter(({ owner }) => owner === ME)
    await collector.until(() => collector.changes.length >= mine.length, 60_000)
    const seen = collector.changes.map(({ record }) => record as unknown as Row)
    console.log(
      `${KILLS} kills, ${collector.joins} joins, ${written.length} rows written, ${seen.length} seen, ${load.failures} writes cut off`,
    )
    expect(collector.faults).toEqual([])
    // Each writer commits its rows in order, so those have to come in that order.
    for (let writer = 0; writer < WRITERS; writer++)
      expect(seen.filter((row) => row.writer === writer).map(({ n }) => n)).toEqual(
        mine.filter((row) => row.writer === writer).map(({ n }) => n),
      )
    expect(seen.length).toBe(mine.length)
    expect(seen.length).toBeGreaterThan(KILLS * 10)
  } finally {
    await load.stop()
    collector.close()
  }
}

interface Row {
  readonly writer: number
  readonly n: number
  readonly owner: string
}

/** Some sessions that write without a pause, in transactions of one to thirty rows, some of which are rolled back. */
class Load {
  failures = 0
  #running: Promise<void>[] = []
  #stopped = false

  start(): void {
    this.#running = Array.from({ length: WRITERS }, (_, writer) => this.#write(writer))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#running)
  }

  async #write(writer: number): Promise<void> {
    let n = 0
    while (!this.#stopped) {
      try {
        await onDatabase(async (sql) => {
          while (!this.#stopped) {
            const rows = Math.ceil(Math.random() ** 3 * 30)
            await sql.query('begin')
            await sql.query(
              `insert into journal (owner, writer, n, body)
               select case when i % 4 = 3 then $1::uuid else $2::uuid end, $3, $4::int + i, repeat('x', 20 + i * 40) from generate_series(1, $5::int) i`,
              [OTHER, ME, writer, n, rows],
            )
            await sql.query(Math.random() < 0.1 ? 'rollback' : 'commit')
            n += rows
            await delay(Math.random() * 60)
          }
        })
      } catch {
        // The table shows whether the last transaction was committed. Its numbers are not used again.
        this.failures++
        n += 30
        await delay(50)
      }
    }
  }
}

async function startServer(): Promise<CliProcess> {
  const server = sandbox.start(['start'], {
    env: { PORT: String(port), HOST: '127.0.0.1', API_JWT_SECRET: SECRET, DATABASE_URL: postgres.url, LOG_LEVEL: 'warn' },
  })
  const session = await fetchUntilHealthy()
  expect(session).toBe(200)
  return server
}

async function fetchUntilHealthy(): Promise<number> {
  const deadline = Date.now() + 30_000
  for (;;) {
    try {
      return (await fetch(`http://127.0.0.1:${port}/healthcheck`)).status
    } catch (error) {
      if (Date.now() > deadline) throw error
      await delay(20)
    }
  }
}

async function onDatabase<T>(work: (sql: pg.Client) => Promise<T>): Promise<T> {
  const sql = new pg.Client({ connectionString: postgres.url })
  sql.on('error', () => {})
  await sql.connect()
  try {
    return await work(sql)
  } finally {
    await sql.end().catch(() => {})
  }
}
