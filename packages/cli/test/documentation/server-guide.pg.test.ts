/** What the server guide says to do with a Postgres of one's own, on one without any preparation. */
import { join } from 'node:path'
import { databasePool, startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliSandbox } from '../cli-process.ts'
import { runPages } from './pages.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']

const API_JWT_SECRET = 'a secret for this test only, long enough'
const ADA = '6c4a1d0e-5f0f-4b2b-9d2c-0f6d7a1e2b3c'
const guide = runPages()
  .find(({ path }) => path === 'docs/server.md')!
  .blocks.filter(({ heading }) => heading === 'Your own Postgres')

const sandbox = new CliSandbox()
let postgres: EmbeddedPostgres
beforeAll(async () => {
  postgres = await start()
})
afterAll(async () => {
  // Its data is in the folder of the others.
  await postgres?.stop()
  await sandbox.clear()
})

test('a bare Postgres: the login, the tables, and rows to the users that the policy lets see them', { timeout: 60_000 }, async () => {
  await asSuperuser('postgres', 'create database app')
  for (const line of blockWith('alter system').split('\n')) await asSuperuser('app', line)
  await postgres.stop()
  postgres = await start()
  await asSuperuser('app', blockWith('create role').replace('…', 'a password'))
  const DATABASE_URL = urlOf('app', 'tidewire', 'a password')

  const doctor = await sandbox.run(['doctor', '--db', DATABASE_URL, '--json'])
  const failed = doctor.stdout.split('\n').filter((line) => line.includes('"level":"fail"'))
  expect({ failed, code: doctor.code }).toEqual({ failed: [], code: 0 })
  expect(await sandbox.run(['migrate', '--db', DATABASE_URL])).toMatchObject({ code: 0 })
  await asSuperuser('app', blockWith('create table'))
  await asSuperuser('app', blockWith('alter publication'))

  const server = sandbox.start(['start'], { env: { API_JWT_SECRET, DATABASE_URL, HOST: '127.0.0.1', PORT: '0' } })
  const { msg } = await server.json<{ msg: string }>(({ msg: said }) => said.startsWith('listening on '))
  const token = await sandbox.run(['token', '--role', 'authenticated', '--sub', ADA, '--secret', API_JWT_SECRET])
  const url = msg.replace('listening on ', '')
  const listener = sandbox.start(['listen', '--changes', 'public.todos', '--json', '--url', url, '--key', token.stdout.trim()])
  await listener.json(({ type }) => type === 'live')
  await asSuperuser('app', `insert into todos (owner, title) values (gen_random_uuid(), 'Another’s'), ('${ADA}', 'Ada’s')`)

  expect(await listener.json(({ type }) => type === 'change')).toMatchObject({ new: { title: 'Ada’s' } })
  expect((await server.stop('SIGTERM')).code).toBe(0)
})

function start(): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ installation, dataDir: join(sandbox.folder, 'postgres'), settings: { fsync: 'off' } })
}

function blockWith(text: string): string {
  const found = guide.find(({ language, code }) => language === 'sql' && code.includes(text))
  if (found === undefined) throw new Error(`the guide has no SQL with ${text}`)
  return found.code
}

function urlOf(database: string, user?: string, password?: string): string {
  const url = new URL(postgres.url)
  url.pathname = database
  if (user !== undefined) [url.username, url.password] = [user, password!]
  return url.href
}

async function asSuperuser(database: string, sql: string): Promise<void> {
  const pool = databasePool({ url: urlOf(database), maxConnections: 1, connectTimeoutMs: 10_000 })
  try {
    await pool.query(sql)
  } finally {
    await pool.close()
  }
}
