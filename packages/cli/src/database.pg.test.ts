import { once } from 'node:events'
import type { EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { RealtimeClient } from '@tidewire/client'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../test/cli-process.ts'
import { signJwt } from './jwt.ts'
import { DatabaseFolder } from '../test/database-folder.ts'

const secret = 'a-secret-that-is-only-for-these-tests'

let folder: DatabaseFolder
let postgres: EmbeddedPostgres
let sandbox: CliSandbox

beforeAll(async () => {
  folder = new DatabaseFolder()
  postgres = await folder.start({ settings: {} })
})
afterAll(async () => {
  await folder.clear()
})
beforeEach(() => {
  sandbox = new CliSandbox()
})
afterEach(() => sandbox.clear())

async function sql(text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}

async function sessions(): Promise<unknown> {
  return (await sql(`select count(*)::int as open from pg_stat_activity where application_name = 'tidewire'`)).rows[0]
}

/** What the server says to a join of a private channel. */
async function joinPrivately(url: string, topic: string, token: string): Promise<{ status: string; response: { reason?: string } }> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${token}`)
  await once(socket, 'open')
  const replied = new Promise<{ status: string; response: { reason?: string } }>((resolve) =>
    socket.on('message', (data: Buffer) => {
      const [, , , event, payload] = JSON.parse(data.toString()) as [null, null, null, string, { status: string; response: object }]
      if (event === 'phx_reply') resolve(payload)
    }),
  )
  socket.send(JSON.stringify(['1', '1', `realtime:${topic}`, 'phx_join', { config: { private: true } }]))
  const reply = await replied
  socket.close()
  return reply
}

test('dev --db: private channels are decided by policies, the database is prepared once, and nothing stays behind', async () => {
  const start = async (): Promise<{ dev: CliProcess; ready: { url: string; anonKey: string; jwtSecret: string; databaseUrl: string } }> => {
    const dev = sandbox.start(['dev', '--port', '0', '--json', '--db', postgres.url])
    return { dev, ready: await dev.json() }
  }
  const before = await sessions()
  const { dev, ready } = await start()
  expect(ready.databaseUrl).toBe(postgres.url)
  await sql(
    `create policy "members read" on realtime.messages for select to authenticated using (realtime.topic() = 'room:' || (current_setting('request.jwt.claims')::json ->> 'sub'))`,
  )
  const token = await signJwt({ role: 'authenticated', sub: '7', exp: Math.floor(Date.now() / 1000) + 60 }, ready.jwtSecret)
  expect((await joinPrivately(ready.url, 'room:7', token)).status).toBe('ok')
  expect(await joinPrivately(ready.url, 'room:8', token)).toMatchObject({
    status: 'error',
    response: { reason: expect.stringMatching(/^Unauthorized/) },
  })

  const { code, stderr } = await dev.stop()
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  const again = await start()
  expect((await joinPrivately(again.ready.url, 'room:7', token)).status).toBe('ok')
  await again.dev.stop()
  // A session ends a moment after its client has gone.
  await expect.poll(sessions, { timeout: 10_000 }).toEqual(before)
})

test('dev says which database it uses, without its password', async () => {
  const dev = sandbox.start(['dev', '--port', '0', '--db', postgres.url])
  const line = await dev.line((candidate) => candidate.includes('database'))
  const { host, pathname, password } = new URL(postgres.url)
  expect(line).toContain(`${host}${pathname}`)
  expect((await dev.stop()).stdout).not.toContain(password)
})

test('start: the parts of a URL lead to the same database, and the log names it without its password', async () => {
  const { hostname, port, username, password, pathname } = new URL(postgres.url)
  const server = sandbox.start(['start'], {
    env: {
      ...{ PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret },
      ...{ DB_HOST: hostname, DB_PORT: port, DB_USER: username, DB_PASSWORD: decodeURIComponent(password), DB_NAME: pathname.slice(1) },
    },
  })
  const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
  const token = await signJwt({ role: 'authenticated', sub: '7', exp: Math.floor(Date.now() / 1000) + 60 }, secret)
  expect((await joinPrivately(msg.slice('listening on '.length), 'room:9', token)).response.reason).toMatch(/^Unauthorized/)
  const { code, stdout } = await server.stop('SIGTERM')
  expect(code).toBe(0)
  expect(stdout).toContain(`database ${hostname}:${port}${pathname}: `)
  expect(stdout).not.toContain(password)
})

test('a database that cannot be used is one sentence without its password', async () => {
  const url = new URL(postgres.url)
  url.password = 'a-wrong-password'
  const { code, stdout, stderr } = await sandbox.run(['dev', '--port', '0', '--db', url.href])
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
  expect(stderr).toMatch(new RegExp(`^Cannot use the database ${url.host}${url.pathname}: .*password authentication failed.*\n$`))
  expect(stderr).not.toContain('a-wrong-password')
  expect(await sandbox.run(['dev', '--db', 'mysql://h'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--db must be a URL') })
  expect(await sandbox.run(['dev', '--db', postgres.url, '--no-db'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('exclude each other'),
  })
})

async function freshDatabase(name: string): Promise<string> {
  await sql(`create database ${name}`)
  return postgres.url.replace(/\/postgres$/, `/${name}`)
}

test('migrate: a fresh database is made ready, once, and the command ends well', async () => {
  const url = await freshDatabase('fresh')
  expect(await sandbox.run(['migrate', '--db', url])).toMatchObject({ code: 0, stdout: expect.stringContaining('messages') })
  expect(await sandbox.run(['migrate', '--db', url, '--json'])).toMatchObject({ code: 0, stdout: '{"applied":[]}\n' })
})

test(
  'metrics: what policies took to answer, what the slot keeps, the way of a row and of a message, and how far the feed is behind',
  { timeout: 60_000 },
  async () => {
    const metricsSecret = 'another-secret-that-is-only-for-these-tests'
    const url = await freshDatabase('measured')
    const env = { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret, METRICS_JWT_SECRET: metricsSecret, DATABASE_URL: url }
    const server = sandbox.start(['start'], { env: { ...env, TIDEWIRE_ALLOW_UNBOUNDED_WAL: 'true' } })
    const { msg } = await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))
    const place = msg.slice('listening on '.length)
    const token = await signJwt({ role: 'authenticated', sub: '7', exp: Math.floor(Date.now() / 1000) + 60 }, secret)
    await joinPrivately(place, 'room:9', token)
    const bearer = await signJwt({}, metricsSecret)
    const metrics = async (): Promise<string> =>
      (await fetch(`${place}/metrics`, { headers: { authorization: `Bearer ${bearer}` } })).text()
    expect(await metrics()).toMatch(/tidewire_authorization_seconds_count [1-9]/)
    // The server listens before its slot is made.
    await expect.poll(metrics, { timeout: 15_000 }).toMatch(/tidewire_slot_retained_bytes\{slot="tidewire_[0-9a-f]{8}"\} \d+/)

    expect(await metrics()).toContain('tidewire_change_seconds_count 0')
    const session = new pg.Client({ connectionString: url })
    await session.connect()
    await session.query('create table seen (id int primary key); grant select on seen to authenticated')
    await session.query('alter publication supabase_realtime add table seen')
    const client = new RealtimeClient(`${place.replace('http', 'ws')}/realtime/v1`, { apikey: token })
    // It hears itself: a message without receivers is not timed.
    const rows = client.channel('rows', { config: { broadcast: { self: true } } })
    const came = new Promise((resolve) => rows.onPostgresChanges('INSERT', { schema: 'public', table: 'seen' }, resolve))
    rows.subscribe()
    await rows.ready({ timeout: 15_000 })
    await session.query('insert into seen values (1)')
    await came
    const counted = await metrics()
    expect(counted).toMatch(/^tidewire_change_seconds_count 1$/m)
    expect(Number(/^tidewire_change_seconds_sum (\S+)$/m.exec(counted)![1])).toBeGreaterThan(0)
    expect(counted).toMatch(/^tidewire_change_seconds_bucket\{le="60"\} 1$/m)

    const count = (text: string, name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)![1])
    await rows.sendBroadcast('e', {})
    await expect.poll(async () => count(await metrics(), 'tidewire_fan_out_seconds_count')).toBe(1)

    const stored = 'realtime_tenants_broadcast_from_database_latency_committed_at'
    expect(count(counted, `${stored}_count`)).toBe(0)
    await session.query(`select realtime.send('{}', 'e', 'rows', false)`)
    // There is no receiver: the answer counts them, so that this can be seen.
    await session.query(`select realtime.send('{}', 'e', 'nowhere', false)`)
    await expect.poll(async () => count(await metrics(), `${stored}_count`)).toBe(2)
    const sent = await metrics()
    expect(count(sent, `${stored}_sum`)).toBeGreaterThan(0)
    expect(count(sent, `${stored}_sum`)).toBeLessThan(10_000)
    expect(count(sent, 'tidewire_broadcasts_total')).toBe(3)
    expect(count(sent, 'tidewire_deliveries_total')).toBe(2)

    // A policy that takes its time keeps the feed behind for longer than it is looked at.
    await session.query('alter table seen enable row level security')
    await session.query(`create function slow() returns boolean language plpgsql as 'begin perform pg_sleep(3); return true; end'`)
    await session.query('create policy slow on seen for select to authenticated using (slow())')
    expect(count(counted, 'tidewire_feed_lag_seconds_sum')).toBeLessThan(1)
    await session.query('insert into seen values (2)')
    await expect.poll(async () => count(await metrics(), 'tidewire_feed_lag_seconds_sum'), { timeout: 15_000 }).toBeGreaterThan(1)
    await session.end()
    await client.disconnect()
    expect((await server.stop('SIGTERM')).code).toBe(0)
  },
)

test('start: a stop right after the start ends well, whatever the feed is doing', async () => {
  const env = { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret, DATABASE_URL: await freshDatabase('stopped') }
  const started = sandbox.start(['start'], { env: { ...env, TIDEWIRE_ALLOW_UNBOUNDED_WAL: 'true' } })
  await started.line((line) => line.includes('listening on'))
  expect((await started.stop('SIGTERM')).code).toBe(0)
})

describe('a database that is down at the start', () => {
  /** Stopped; `start` brings it up on its port. */
  async function downDatabase(name: string): Promise<{ url: string; start: () => Promise<EmbeddedPostgres> }> {
    const first = await folder.start({ name, settings: {} })
    await first.stop()
    return { url: first.url, start: () => folder.start({ name, port: first.port, settings: {} }) }
  }

  test.each(['start', 'dev'] as const)(
    '%s: public channels work, the rest says why it waits and comes alive',
    async (command) => {
      const down = await downDatabase(`down-${command}`)
      const server = sandbox.start(command === 'start' ? ['start'] : ['dev', '--port', '0', '--db', down.url, '--json'], {
        env: { PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: secret, ...(command === 'start' ? { DATABASE_URL: down.url } : {}) },
      })
      let url: string
      let token: string
      if (command === 'start') {
        const waiting = await server.json<{ level: number; msg: string }>((line) => line.msg.includes('does not answer'))
        expect(waiting.msg).toMatch(
          /^The database 127\.0\.0\.1:\d+\/postgres does not answer: .*\. Private channels and Postgres changes wait for it$/,
        )
        url = (await server.json<{ msg: string }>((line) => line.msg.startsWith('listening on '))).msg.slice('listening on '.length)
        token = await signJwt({ role: 'service_role', exp: Math.floor(Date.now() / 1000) + 600 }, secret)
      } else {
        const ready = await server.json<{ url: string; serviceKey: string }>()
        ;[url, token] = [ready.url, ready.serviceKey]
      }
      const client = new RealtimeClient(`${url.replace('http', 'ws')}/realtime/v1`, { apikey: token })
      const heard: string[] = []
      let wake = (): void => {}
      const until = async (holds: () => boolean): Promise<void> => {
        while (!holds()) {
          await new Promise<void>((resolve) => (wake = resolve))
        }
      }
      const hear = (text: string): void => {
        heard.push(text)
        wake()
      }
      const lobby = client.channel('lobby', { config: { broadcast: { self: true } } })
      lobby.onBroadcast('hello', () => hear('broadcast'))
      lobby.subscribe()
      await lobby.ready()
      await lobby.send({ type: 'broadcast', event: 'hello', payload: {} })
      await until(() => heard.includes('broadcast'))
      expect((await joinPrivately(url, 'room', token)).response.reason).toMatch(/^UnableToConnectToProject: /)

      const rows = client.channel('rows')
      rows.on('system', {}, ({ message }: { message: string }) => hear(message))
      rows.onPostgresChanges('INSERT', { schema: 'public', table: 'later' }, (change) => hear(JSON.stringify(change.new)))
      rows.subscribe()
      await until(() => heard.includes('Unable to subscribe to changes: the database does not answer. Trying again.'))
      const postgres = await down.start()
      try {
        const session = new pg.Client({ connectionString: postgres.url })
        await session.connect()
        // The server makes the publication as soon as it can; until then there is nothing to subscribe to.
        await until(() => heard.some((text) => text.includes('Please check Realtime is enabled')))
        await session.query(
          'create table later (id int primary key); grant select on later to service_role; alter publication supabase_realtime add table later',
        )
        await rows.unsubscribe()
        const again = client.channel('rows again')
        again.onPostgresChanges('INSERT', { schema: 'public', table: 'later' }, (change) => hear(JSON.stringify(change.new)))
        again.subscribe()
        await again.ready({ timeout: 15_000 })
        await session.query('insert into later values (7)')
        await until(() => heard.includes('{"id":7}'))
        expect((await joinPrivately(url, 'room', token)).status).toBe('ok')
        await session.end()
        await client.disconnect()
        expect((await server.stop('SIGTERM')).code).toBe(0)
      } finally {
        await postgres.stop()
      }
    },
    60_000,
  )
})
