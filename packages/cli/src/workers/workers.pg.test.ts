/** Workers on a real Postgres that has room for three: each reads the log by itself, and every client gets every row once. */
import type { EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliSandbox } from '../../test/cli-process.ts'
import { ClusterClient } from '../../test/cluster-client.ts'
import { signJwt } from '../jwt.ts'
import { databaseRoom } from './worker-count.ts'
import { DatabaseFolder } from '../../test/database-folder.ts'

const secret = 'a-secret-that-is-only-for-these-tests'
const sandbox = new CliSandbox()
const folder = new DatabaseFolder()
const clients: ClusterClient[] = []
let postgres: EmbeddedPostgres
let sql: pg.Client
beforeAll(async () => {
  const settings = { fsync: 'off', max_wal_senders: '3', max_replication_slots: '10' }
  postgres = await folder.start({ settings })
  sql = new pg.Client({ connectionString: postgres.url })
  await sql.connect()
})
afterAll(async () => {
  for (const client of clients) client.close()
  await sandbox.stopAll()
  await sql?.end()
  await folder.clear()
  await sandbox.clear()
})

async function ready(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/healthcheck?ready`)
  return `${response.status} ${await response.text()}`
}

async function until(read: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await read())) {
    if (performance.now() > deadline) throw new Error(`it did not happen within ${withinMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('more workers than the database has walsenders are reduced, and each of the others reads all rows', async () => {
  expect(await databaseRoom(postgres.url)).toEqual({ freeSenders: 3, freeSlots: 9 })
  const env = { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret, DATABASE_URL: postgres.url, CLIENT_PRESENCE_MAX_CALLS: 'unlimited' }
  const server = sandbox.start(['start', '--workers', '6'], { env })
  const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
  await server.line((line) => line.includes('3 of 6 workers are started') && line.includes('Raise max_wal_senders'))
  for (const number of [1, 2, 3]) await server.json<{ msg: string }>(({ msg: said }) => said === `worker ${number} is up`)
  await sql.query(
    `create table journal (id int primary key);
     alter table journal enable row level security;
     create policy everything on journal for select to authenticated using (true);
     grant select on journal to authenticated;
     alter publication supabase_realtime add table journal`,
  )
  const token = await signJwt({ role: 'authenticated', sub: 'me', exp: Math.floor(Date.now() / 1000) + 600 }, secret)
  const port = Number(new URL(msg.slice('listening on '.length)).port)
  for (let id = 0; id < 6; id++) clients.push(new ClusterClient(id, 0, { port, token }))
  await until(() => clients.every(({ live }) => live))
  await until(() => clients.every(({ present }) => present.length === 6))
  const readers = await sql.query(`select count(*)::int as count from pg_stat_replication`)
  expect(readers.rows).toEqual([{ count: 3 }])
  for (let id = 1; id <= 20; id++) await sql.query('insert into journal values ($1)', [id])
  await until(() => clients.every(({ rows }) => rows.length >= 20))
  const expected = Array.from({ length: 20 }, (_, at) => at + 1)
  for (const { rows, faults } of clients) expect([rows, faults]).toEqual([expected, []])
  // The others are reached without NATS; a server of another machine would not be.
  expect(await ready(port)).toBe('200 ok')
  const copy = 'tidewire_n_elsewhere_0a0a0a'
  await sql.query(`select pg_copy_logical_replication_slot(slot_name, '${copy}', true) from pg_replication_slots where not temporary`)
  await until(async () => (await ready(port)).startsWith('200 degraded: other servers read this database'), 20_000)
  await sql.query(`select pg_drop_replication_slot('${copy}')`)
  const { code } = await server.stop('SIGTERM')
  expect(code).toBe(0)
  const left = await sql.query(`select slot_name from pg_replication_slots where temporary`)
  expect(left.rows).toEqual([])
}, 60_000)
