/**
 * A server is killed while 1,000 clients listen, 3,000 rows are written, and all of them come back at once to the next server:
 * each gets what it missed, or an honest gap, and others join meanwhile as if nothing were.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { freePort } from '@tidewire/testkit'
import { CliSandbox, type CliProcess } from '../test/cli-process.ts'
import { signJwt } from './jwt.ts'
import { DatabaseFolder } from '../test/database-folder.ts'

const CLIENTS = Number(process.env['TIDEWIRE_CLIENTS'] ?? 1_000)
const ROWS = Number(process.env['TIDEWIRE_ROWS'] ?? 3_000)
const WITHIN_MS = 240_000
const SECRET = 'a-secret-that-is-only-for-these-tests'
const TABLES = {
  'rows for all': '',
  'rows under a policy, each client another user': `alter table missed enable row level security;
    create policy own on missed for select to authenticated using (owner is null or owner = auth.uid());`,
}

let folder: DatabaseFolder
let postgres: EmbeddedPostgres
let sandbox: CliSandbox
let port: number
let sql: pg.Client
let clients: Worker | null = null

beforeEach(async () => {
  folder = new DatabaseFolder()
  sandbox = new CliSandbox()
  port = await freePort()
  postgres = await folder.start()
  sql = new pg.Client({ connectionString: postgres.url })
  await sql.connect()
})
afterEach(async () => {
  await clients?.terminate()
  await sandbox.clear()
  await sql.end()
  await folder.clear()
})

interface Outcome {
  readonly rows: number
  readonly inOrder: boolean
  readonly recovered: boolean
  readonly reason: string | null
  readonly tookMs: number
}

type Report = { readonly kind: 'joined' } | { readonly kind: 'outcomes'; readonly outcomes: readonly Outcome[] }

/** All clients, with an event loop of their own: clients that join meanwhile are not to wait for them. */
const CLIENT_CODE = `
const { parentPort, workerData } = require('node:worker_threads')
const { WebSocket } = require('ws')
const { url, tokens } = workerData
const join = (since) => JSON.stringify(['1', '1', 'realtime:missed', 'phx_join', {
  config: { postgres_changes: [{ event: 'INSERT', schema: 'public', table: 'missed' }], postgres_changes_options: { positions: true, ...since } } }])
let joined = 0
const clients = tokens.map((token) => ({ token, position: null }))
function connect(client, onText) {
  const socket = new WebSocket(url + '&apikey=' + client.token)
  socket.on('error', () => {})
  socket.on('open', () => socket.send(join(client.position === null ? {} : { since: client.position })))
  const beat = setInterval(() => socket.readyState === 1 && socket.send('[null,"2","phoenix","heartbeat",{}]'), 20_000)
  socket.on('close', () => clearInterval(beat))
  socket.on('message', (data) => onText(data.toString('latin1'), socket))
  return socket
}
for (const client of clients)
  connect(client, (text) => {
    if (client.position !== null || !text.includes('Subscribed to PostgreSQL')) return
    client.position = JSON.parse(text)[4].position
    if (++joined === clients.length) parentPort.postMessage({ kind: 'joined' })
  })
parentPort.on('message', () => {
  const outcomes = []
  const at = performance.now()
  for (const client of clients) {
    const outcome = { rows: 0, inOrder: true, recovered: false, reason: null, tookMs: 0 }
    let over = false
    const end = (more) => {
      if (over) return
      over = true
      outcomes.push({ ...outcome, ...more, tookMs: performance.now() - at })
      if (outcomes.length === clients.length) parentPort.postMessage({ kind: 'outcomes', outcomes })
    }
    const socket = connect(client, (text) => {
      if (text.includes('"postgres_changes",{')) {
        outcome.rows++
        if (!text.includes('"n": ' + outcome.rows + ',') && !text.includes('"n": ' + outcome.rows + '}')) outcome.inOrder = false
      } else if (text.includes('Subscribed to PostgreSQL')) {
        const { recovered, reason } = JSON.parse(text)[4]
        end({ recovered, reason: reason ?? null })
      } else if (text.includes('"status":"error"')) end({ reason: text.slice(0, 300) })
    })
    socket.on('close', (code) => end({ reason: 'closed with ' + code }))
  }
})
`

for (const [name, security] of Object.entries(TABLES))
  test(`${CLIENTS} clients come back at once, ${name}`, async () => {
    const tokens = await Promise.all(Array.from({ length: CLIENTS }, (_, index) => tokenOf(index)))
    let server = await startServer()
    await sql.query(
      `create table missed (id bigserial primary key, n int, owner uuid, body text); ${security}
       grant select on missed to authenticated; alter publication supabase_realtime add table missed`,
    )
    const url = `ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0`
    clients = new Worker(CLIENT_CODE, { eval: true, workerData: { url, tokens } })
    await reported(clients, 'joined')
    await server.kill()
    await sql.query(`insert into missed (n, body) select i, repeat('x', 60) from generate_series(1, $1::int) i`, [ROWS])
    server = await startServer()
    const joins = new Joins(`${url}&apikey=${tokens[0]}`)
    await joins.begin()
    clients.postMessage('come back')
    const { outcomes } = await reported(clients, 'outcomes')
    const took = await joins.end()
    const whole = outcomes.filter(({ rows, inOrder, recovered }) => rows === ROWS && inOrder && recovered)
    const gaps = outcomes.filter(({ recovered, reason }) => !recovered && reason !== null)
    const p99 = percentile(took, 0.99)
    console.log(
      `${name}: ${whole.length} of ${CLIENTS} got all ${ROWS} rows, the last after ${Math.round(Math.max(...outcomes.map(({ tookMs }) => tookMs)))} ms;`,
      `gaps: ${JSON.stringify(countBy(gaps.map(({ reason }) => reason!)))};`,
      `${took.length} joins meanwhile: p50 ${Math.round(percentile(took, 0.5))} ms, p99 ${Math.round(p99)} ms`,
    )
    // All, or an honest gap: never a part that is called whole.
    expect(outcomes.filter((each) => !whole.includes(each) && !gaps.includes(each))).toEqual([])
    expect(gaps.filter(({ reason }) => !/^[a-z-]+$/.test(reason!))).toEqual([])
    expect(whole.length).toBeGreaterThanOrEqual(CLIENTS * 0.99)
    expect(p99).toBeLessThan(1_000)
  })

/** Joins public channels, one after the other, on a connection that was there before. */
class Joins {
  readonly #socket: WebSocket
  readonly #tookMs: number[] = []
  #ended = false
  #running: Promise<void> | null = null
  #answered: () => void = () => {}

  constructor(url: string) {
    this.#socket = new WebSocket(url)
    this.#socket.on('message', (data: Buffer) => {
      if (data.toString().includes('"phx_reply"')) this.#answered()
    })
  }

  async begin(): Promise<void> {
    await new Promise((resolve, reject) => this.#socket.once('open', resolve).once('error', reject))
    this.#running = this.#run()
  }

  async end(): Promise<readonly number[]> {
    this.#ended = true
    await this.#running
    this.#socket.terminate()
    return this.#tookMs
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#ended; n++) {
      const at = performance.now()
      const topic = `realtime:public-${n}`
      await this.#ask([String(n), String(n), topic, 'phx_join', { config: {} }])
      this.#tookMs.push(performance.now() - at)
      await this.#ask([String(n), `${n}l`, topic, 'phx_leave', {}])
      await delay(20)
    }
  }

  #ask(frame: readonly unknown[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('a join was not answered')), 30_000)
      this.#answered = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#socket.send(JSON.stringify(frame))
    })
  }
}

async function reported<Kind extends Report['kind']>(worker: Worker, kind: Kind): Promise<Extract<Report, { kind: Kind }>> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the clients have not ${kind} within ${WITHIN_MS} ms`)), WITHIN_MS)
    worker.once('error', reject)
    worker.on('message', (report: Report) => {
      if (report.kind !== kind) return
      clearTimeout(timer)
      resolve(report as Extract<Report, { kind: Kind }>)
    })
  })
}

function tokenOf(index: number): Promise<string> {
  const sub = `00000000-0000-0000-0000-${String(index).padStart(12, '0')}`
  return signJwt({ role: 'authenticated', sub, exp: Math.floor(Date.now() / 1_000) + 3_600 }, SECRET)
}

async function startServer(): Promise<CliProcess> {
  const server = sandbox.start(['start'], {
    env: {
      ...{ PORT: String(port), HOST: '127.0.0.1', API_JWT_SECRET: SECRET, DATABASE_URL: postgres.url, LOG_LEVEL: 'error' },
      ...{ TENANT_MAX_CONCURRENT_USERS: 'unlimited', TENANT_MAX_JOINS_PER_SECOND: 'unlimited' },
    },
  })
  const deadline = Date.now() + 60_000
  for (;;) {
    const status = await fetch(`http://127.0.0.1:${port}/healthcheck?ready`).then(
      (answer) => answer.status,
      () => 0,
    )
    if (status === 200) return server
    if (Date.now() > deadline) throw new Error('the server is not ready')
    await delay(20)
  }
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
