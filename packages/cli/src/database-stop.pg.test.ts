/** What happens to a whole server when its Postgres is stopped, and to a Postgres when its server is killed. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChangeCollector } from '../test/change-collector.ts'
import { CliSandbox, type CliProcess } from '../test/cli-process.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']

let base: string
let postgres: EmbeddedPostgres
let sandbox: CliSandbox

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'tidewire-stop-'))
  chmodSync(base, 0o755)
  postgres = await startEmbeddedPostgres({ installation, dataDir: join(base, 'db'), settings: { fsync: 'off' } })
  sandbox = new CliSandbox()
})
afterEach(async () => {
  await sandbox.clear()
  await postgres.stop()
  rmSync(base, { recursive: true, force: true })
})

async function query<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: postgres.url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

interface Ready {
  readonly url: string
  readonly serviceKey: string
  readonly anonKey: string
}

async function dev(...more: string[]): Promise<{ process: CliProcess; ready: Ready }> {
  const process = sandbox.start(['dev', '--port', '0', '--json', '--db', postgres.url, ...more])
  return { process, ready: await process.json<Ready>() }
}

const ENTRY = { event: 'INSERT', schema: 'public', table: 'journal' }
const slots = (): Promise<{ name: string; temporary: boolean }[]> => query('select slot_name as name, temporary from pg_replication_slots')

async function makeJournal(): Promise<void> {
  await query(
    `create table journal (id bigserial primary key, body text); alter table journal enable row level security;
     create policy all_of_them on journal for select using (length(body) > 0);
     grant select on journal to anon; alter publication supabase_realtime add table journal`,
  )
}

test('a fast shutdown under load ends in less than five seconds, and the feed goes on afterwards', { timeout: 90_000 }, async () => {
  const { ready } = await dev()
  await makeJournal()
  const collector = new ChangeCollector(ready.url, ready.anonKey, ENTRY)
  let writing = true
  const writers: Promise<void>[] = []
  try {
    await collector.until(() => collector.joins > 0, 30_000)
    writers.push(
      ...[1, 2].map(async () => {
        while (writing) await query(`insert into journal (body) select repeat('x', 100) from generate_series(1, 30)`).catch(() => delay(20))
      }),
    )
    await collector.until(() => collector.changes.length > 300, 30_000)
    const { pid, port, dataDir } = postgres
    const begun = Date.now()
    // What `pg_ctl stop -m fast` does.
    process.kill(pid, 'SIGINT')
    while (isRunning(pid) && Date.now() - begun < 20_000) await delay(10)
    expect(Date.now() - begun).toBeLessThan(5_000)
    postgres = await startEmbeddedPostgres({ installation, dataDir, port, settings: { fsync: 'off' } })
    // The slot went with the connection: they are told, and join again.
    const seen = collector.changes.length
    await collector.until(() => collector.changes.length > seen, 30_000)
  } finally {
    writing = false
    await Promise.all(writers)
    collector.close()
  }
})

test('dev --db that is killed leaves no slot behind, and the next one works', { timeout: 60_000 }, async () => {
  const first = await dev()
  await expect.poll(slots, { timeout: 10_000 }).toMatchObject([{ temporary: true }])
  await makeJournal()
  await first.process.kill()
  await expect.poll(slots, { timeout: 10_000 }).toEqual([])
  const { ready, process } = await dev()
  const collector = new ChangeCollector(ready.url, ready.anonKey, ENTRY)
  try {
    await collector.until(() => collector.joins > 0, 30_000)
    await query(`insert into journal (body) values ('again')`)
    await collector.until(() => collector.changes.length > 0, 30_000)
    expect(collector.changes[0]!.record['body']).toBe('again')
  } finally {
    collector.close()
  }
  expect((await process.stop()).code).toBe(0)
  await expect.poll(slots, { timeout: 10_000 }).toEqual([])
})

test('dev --db --keep-slot leaves its slot, and comes back to it', { timeout: 60_000 }, async () => {
  const first = await dev('--keep-slot')
  await expect.poll(slots, { timeout: 10_000 }).toMatchObject([{ temporary: false }])
  const made = await slots()
  expect((await first.process.stop()).code).toBe(0)
  expect(await slots()).toEqual(made)
  const second = await dev('--keep-slot')
  expect((await second.process.stop()).code).toBe(0)
  expect(await slots()).toEqual(made)
  expect((await sandbox.run(['dev', '--port', '0', '--json', '--keep-slot'])).code).toBe(2)
})
