/** `tidewire start` on a database that fails over to a standby, and on one whose clock is minutes away. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { RealtimeClient } from '@tidewire/client'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import { copyAsStandby, TcpProxy } from '@tidewire/testkit'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ChangeCollector } from '../test/change-collector.ts'
import { CliSandbox, type CliProcess } from '../test/cli-process.ts'
import { signJwt } from './jwt.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']
const SECRET = 'a-secret-that-is-only-for-these-tests'
const SETTINGS = { fsync: 'off', wal_keep_size: '512MB' }
const ENTRY = { event: 'INSERT', schema: 'public', table: 'journal' }

let base: string
let primary: EmbeddedPostgres
let sandbox: CliSandbox
let token: string

beforeEach(async () => {
  base = mkdtempSync(join(tmpdir(), 'tidewire-failover-'))
  chmodSync(base, 0o755)
  primary = await startEmbeddedPostgres({ installation, dataDir: join(base, 'primary'), settings: SETTINGS })
  sandbox = new CliSandbox()
  token = await signJwt({ role: 'authenticated', sub: '1', exp: Math.floor(Date.now() / 1000) + 3_600 }, SECRET)
  // It prepares the database.
  expect(await sandbox.run(['migrate', '--db', primary.url])).toMatchObject({ code: 0 })
  await query(
    primary,
    `create table journal (id bigserial primary key, body text); grant usage on schema public to authenticated;
     grant select on journal to authenticated; alter publication supabase_realtime add table journal`,
  )
})

afterEach(async () => {
  await sandbox.clear()
  await primary.stop()
  rmSync(base, { recursive: true, force: true })
})

async function query({ url }: EmbeddedPostgres, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

async function start(databaseUrl: string, env: Record<string, string> = {}): Promise<{ server: CliProcess; place: string }> {
  const server = sandbox.start(['start'], {
    env: { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: SECRET, DATABASE_URL: databaseUrl, ...env },
  })
  const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
  return { server, place: msg.slice('listening on '.length) }
}

const readiness = async (place: string): Promise<number> => (await fetch(`${place}/healthcheck?ready`)).status

test(
  'a standby is promoted: clients are notified of the gap and go on, and a server that starts before waits for it',
  { timeout: 120_000 },
  async () => {
    const following = primary.url
    await primary.stop()
    await copyAsStandby(join(base, 'primary'), join(base, 'standby'), following)
    primary = await startEmbeddedPostgres({ installation, dataDir: join(base, 'primary'), port: primary.port, settings: SETTINGS })
    const standby = await startEmbeddedPostgres({ installation, dataDir: join(base, 'standby'), settings: SETTINGS })
    const address = await TcpProxy.start({ port: primary.port })
    const url = new URL(primary.url)
    url.port = String(address.port)
    const { server, place } = await start(url.href)
    const client = new RealtimeClient(`${place.replace('http', 'ws')}/socket`, { params: { apikey: token } })
    try {
      const [rows, gaps]: [unknown[], unknown[]] = [[], []]
      const channel = client.channel('journal')
      channel.on('postgres_changes', ENTRY as never, ({ new: row }: { new: unknown }) => rows.push(row))
      channel.onGap(({ reason }) => gaps.push(reason))
      let live = 0
      channel.on('system', {} as never, ({ message }: { message: string }) => void (live += Number(message === 'Subscribed to PostgreSQL')))
      channel.subscribe()
      await expect.poll(() => live, { timeout: 15_000 }).toBe(1)
      await query(primary, `insert into journal (body) values ('before')`)
      await expect.poll(() => rows, { timeout: 15_000 }).toEqual([{ id: 1, body: 'before' }])
      address.setTargets({ port: standby.port })
      await primary.stop()
      await server.json<{ msg: string }>(({ msg }) => /Row changes stand still: the database takes no writes: it is a standby/.test(msg))
      const second = await start(url.href)
      await second.server.json<{ msg: string }>(({ msg }) => /takes no writes: it is a standby that is not promoted yet/.test(msg))
      expect(await readiness(second.place)).toBe(503)
      expect(gaps).toEqual([])
      await query(standby, 'select pg_promote()')
      await expect.poll(() => gaps.length, { timeout: 30_000 }).toBe(1)
      // One of the two makes the anchor, and the other one finds it.
      expect(gaps[0]).toMatch(/^slot-(created|replaced)$/)
      await expect.poll(() => readiness(second.place), { timeout: 30_000 }).toBe(200)
      await expect.poll(() => live, { timeout: 15_000 }).toBe(2)
      await query(standby, `insert into journal (body) values ('after')`)
      await expect.poll(() => rows.slice(1), { timeout: 15_000 }).toMatchObject([{ body: 'after' }])
    } finally {
      await client.disconnect()
      await sandbox.stopAll()
      await address.close()
      await standby.stop()
    }
  },
)

test('clocks of servers ten minutes before and behind that of Postgres: clients go on at any of them', { timeout: 60_000 }, async () => {
  const clock = join(base, 'clock.mjs')
  writeFileSync(
    clock,
    `const { now } = Date, shift = Number(process.env.CLOCK_SHIFT_MS)
     globalThis.Date = class extends Date {
       constructor(...given) { if (given.length === 0) super(now() + shift); else super(...given) }
       static now() { return now() + shift }
     }`,
  )
  const shifted = (ms: number): Record<string, string> => ({
    NODE_OPTIONS: `--import=${pathToFileURL(clock).href}`,
    CLOCK_SHIFT_MS: String(ms),
    TENANT_MAX_JOINS_PER_SECOND: 'unlimited',
  })
  const servers = [await start(primary.url, shifted(600_000)), await start(primary.url, shifted(-600_000))]
  for (const { place } of servers) await expect.poll(() => readiness(place), { timeout: 15_000 }).toBe(200)
  // The shift is there: a server writes the time into its log.
  const times = await Promise.all(servers.map(({ server }) => server.json<{ time: number | string }>((line) => line.time !== undefined)))
  expect(Math.abs(Number(new Date(times[0]!.time)) - Number(new Date(times[1]!.time)))).toBeGreaterThan(1_100_000)
  let moves = 0
  const collector = new ChangeCollector(() => servers[moves++ % 2]!.place, token, ENTRY)
  try {
    for (let round = 1; round <= 6; round++) {
      await collector.until(() => collector.joins >= round, 15_000)
      await query(primary, `insert into journal (body) select 'x' from generate_series(1, 5)`)
      if (round % 2 === 0) await collector.until(() => collector.changes.length >= round * 5 - 4, 15_000)
      collector.reconnect()
    }
    await collector.until(() => collector.changes.length >= 30, 15_000)
    expect(collector.changes.map(({ record }) => record['id'])).toEqual(Array.from({ length: 30 }, (_, at) => at + 1))
    expect(collector.faults).toEqual([])
  } finally {
    collector.close()
  }
})
