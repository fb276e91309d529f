import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ADMIN_ROLE, ADMIN_TOPIC, type AdminLog, type AdminSqlResult, type AdminTick, type WhyAnswer } from '@tidewire/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { CliSandbox, type CliProcess } from '../../test/cli-process.ts'
import { signJwt } from '../jwt.ts'

const sandbox = new CliSandbox()
let dev: CliProcess
let ready: { readonly url: string; readonly anonKey: string }
let inspector: Dialed
let client: Dialed

/** A socket of version 2.0.0 that answers by ref and by event. */
class Dialed {
  readonly #socket: WebSocket
  readonly #messages: { readonly topic: string; readonly event: string; readonly ref: unknown; readonly payload: unknown }[] = []
  #arrived = (): void => {}
  #refs = 0

  constructor(key: string) {
    this.#socket = new WebSocket(`${ready.url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${key}`)
    this.#socket.on('message', (data: Buffer) => {
      const [, ref, topic, event, payload] = JSON.parse(data.toString()) as [unknown, unknown, string, string, unknown]
      this.#messages.push({ ref, topic, event, payload })
      this.#arrived()
    })
  }

  async ask(topic: string, event: string, payload: object): Promise<{ status: string; response: unknown }> {
    if (this.#socket.readyState === WebSocket.CONNECTING) await new Promise((resolve) => this.#socket.once('open', resolve))
    const ref = String(++this.#refs)
    this.#socket.send(JSON.stringify(['1', ref, topic, event, payload]))
    return (await this.until((message) => message.ref === ref)).payload as { status: string; response: unknown }
  }

  async until(matches: (message: { event: string; ref: unknown; payload: unknown }) => boolean): Promise<{ payload: unknown }> {
    for (;;) {
      const found = this.#messages.find(matches)
      if (found !== undefined) return found
      await new Promise<void>((resolve) => (this.#arrived = resolve))
    }
  }

  close(): void {
    this.#socket.terminate()
  }
}

const run = (sql: string): ReturnType<Dialed['ask']> => inspector.ask(ADMIN_TOPIC, 'admin_sql', { sql })
const why = async (question: object): Promise<WhyAnswer> => (await inspector.ask(ADMIN_TOPIC, 'admin_why', question)).response as WhyAnswer

beforeAll(async () => {
  dev = sandbox.start(['dev', '--port', '0', '--json'])
  ready = await dev.json()
  await sandbox.run(['sql', 'create table todos (id int primary key, title text)'])
  const { adminSecret } = JSON.parse(readFileSync(join(sandbox.folder, '.tidewire', 'keys.json'), 'utf8')) as { adminSecret: string }
  inspector = new Dialed(await signJwt({ role: ADMIN_ROLE, exp: Math.floor(Date.now() / 1000) + 600 }, adminSecret))
  expect(await inspector.ask(ADMIN_TOPIC, 'phx_join', {})).toMatchObject({ status: 'ok', response: { sql: true, database: true } })
  client = new Dialed(ready.anonKey)
}, 60_000)
afterAll(async () => {
  inspector?.close()
  client?.close()
  await dev.stop()
  await sandbox.clear()
})

test('an inspector sees an insert that it made, and how long it took', async () => {
  await inspector.ask(ADMIN_TOPIC, 'admin_watch', { payloads: true, match: '' })
  const postgres_changes = [{ event: '*', schema: 'public', table: 'todos', filter: 'id=lt.10' }]
  await client.ask('realtime:todos', 'phx_join', { config: { postgres_changes } })
  await client.until(({ event, payload }) => event === 'system' && (payload as { message: string }).message === 'Subscribed to PostgreSQL')
  expect(await run(`insert into todos values (1, 'one'), (20, 'twenty')`)).toMatchObject({ status: 'ok', response: { command: 'INSERT' } })
  const rows: AdminLog['rows'][number][] = []
  await inspector.until(({ event, payload }) => {
    if (event === 'admin_log')
      for (const row of (payload as AdminLog).rows) if (row.kind === 'change' && !rows.some(({ id }) => id === row.id)) rows.push(row)
    return rows.length >= 2
  })
  expect(rows).toMatchObject([
    { event: 'INSERT', detail: 'public.todos', receivers: 1, payload: expect.stringContaining('"title": "one"') as string },
    { event: 'INSERT', detail: 'public.todos', receivers: 0 },
  ])
  const tick = await inspector.until(({ event, payload }) => event === 'admin_tick' && (payload as AdminTick).insertToFrame !== null)
  expect(tick.payload).toMatchObject({
    healthy: true,
    feed: { lagMs: expect.any(Number) as number, lagBytes: expect.any(Number) as number },
  })
})

test('and can ask why the other row did not arrive, and why a private join was refused', async () => {
  const user = { connection: '2' }
  const change = { about: 'change', user, schema: 'public', table: 'todos' }
  expect(await why({ ...change, key: { id: '1' } })).toMatchObject({ allowed: true })
  expect((await why({ ...change, key: { id: '20' } })).verdict).toContain('The filter id=lt.10 does not let the row through: id is "20".')
  expect(await client.ask('realtime:secret', 'phx_join', { config: { private: true } })).toMatchObject({ status: 'error' })
  const denied = await why({ about: 'topic', user, topic: 'secret', private: true })
  expect(denied.verdict).toContain('There is no SELECT policy on realtime.messages for anon')
  expect(denied.steps.at(-1)).toMatchObject({ check: 'decision', text: expect.stringContaining('join-refused, unauthorized') as string })
})

test('its SQL does not run as a superuser', async () => {
  const { response } = await run('select rolsuper from pg_roles where rolname = session_user')
  expect((response as AdminSqlResult).rows).toEqual([['f']])
  expect(await run('drop table todos')).toMatchObject({ status: 'error' })
})
