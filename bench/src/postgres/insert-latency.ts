import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { databasePool, type DatabasePool } from '@tidewire/postgres'
import { WebSocket } from 'ws'
import { endWithUs } from '../child.ts'
import { percentile } from '../statistics.ts'
import { signToken } from '../token.ts'
import type { BenchDatabase } from './database.ts'
import { subscriberClaims, subscriberId } from './subscriber.ts'

export interface LatencyResult {
  readonly kind: 'latency'
  readonly insertsPerSecond: number
  readonly round: number
  readonly p50: number
  readonly p99: number
  /** Milliseconds until the insert itself was answered, median. */
  readonly insertP50: number
  readonly inserts: number
  /** Inserts made in a second, in truth. */
  readonly madePerSecond: number
  readonly lost: number
  readonly duplicated: number
}

const SECRET = 'the-secret-of-the-benchmark-and-of-nothing-else'
const TIMEOUT_MS = 20_000
const SESSIONS = 8

const SETUP = `
create table notes (id bigint primary key, user_id uuid not null, body text not null);
alter table notes enable row level security;
create policy own on notes for select to authenticated using (auth.uid() = user_id);
grant select on notes to authenticated;
alter publication supabase_realtime add table notes`

/** `tidewire start` in a process of its own, one subscriber over a WebSocket, and inserts at a rate. */
export async function insertLatency(
  database: BenchDatabase,
  rates: readonly number[],
  measureMs: number,
  rounds: number,
  onResult: (result: LatencyResult) => void,
): Promise<void> {
  const url = await database.create(SETUP)
  const server = await startServer(url)
  const pool = databasePool({ url, maxConnections: SESSIONS, connectTimeoutMs: 5_000 })
  const subscriber = new Subscriber(server.url)
  try {
    await subscriber.subscribed()
    const insert = inserter(pool)
    await insertAtRate(subscriber, insert, 200, measureMs / 5)
    for (let round = 0; round < rounds; round++)
      for (const rate of rates)
        onResult({ kind: 'latency', insertsPerSecond: rate, round, ...(await insertAtRate(subscriber, insert, rate, measureMs)) })
  } finally {
    subscriber.close()
    await pool.close()
    await server.stop()
  }
}

type Insert = () => { readonly id: number; readonly done: Promise<unknown> }

function inserter(pool: DatabasePool): Insert {
  let id = 0
  const body = 'x'.repeat(150)
  const statement = 'insert into notes (id, user_id, body) values ($1, $2, $3)'
  return () => ({ id: ++id, done: pool.query(statement, [id, subscriberId(0), body]) })
}

/** Times count from when the insert is given to the sessions: waiting for a free one is part of them. */
async function insertAtRate(
  subscriber: Subscriber,
  insert: Insert,
  rate: number,
  measureMs: number,
): Promise<Omit<LatencyResult, 'kind' | 'insertsPerSecond' | 'round'>> {
  // Of two in a second nothing can be said after a few seconds.
  const count = Math.max(20, Math.round((rate * measureMs) / 1000))
  const sentAt = new Map<number, number>()
  const insertMs: number[] = []
  const answers: Promise<unknown>[] = []
  subscriber.forget()
  const began = performance.now()
  while (sentAt.size < count) {
    const due = Math.min(count, Math.floor(((performance.now() - began) * rate) / 1000) + 1)
    while (sentAt.size < due) {
      const now = performance.now()
      const { id, done } = insert()
      sentAt.set(id, now)
      answers.push(done.then(() => insertMs.push(performance.now() - now)))
    }
    const wait = began + (sentAt.size * 1000) / rate - performance.now()
    if (wait > 0) await delay(wait)
  }
  const elapsedMs = performance.now() - began
  await Promise.all(answers)
  await subscriber.received(count)
  const latencies = [...sentAt].flatMap(([id, at]) => {
    const arrived = subscriber.arrivals.get(id)
    return arrived === undefined ? [] : [arrived - at]
  })
  return {
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    insertP50: percentile(insertMs, 0.5),
    inserts: count,
    madePerSecond: (count * 1000) / elapsedMs,
    lost: count - latencies.length,
    duplicated: subscriber.duplicated,
  }
}

/** One channel, and when which row came. */
class Subscriber {
  readonly arrivals = new Map<number, number>()
  duplicated = 0
  readonly #socket: WebSocket
  /** A server closes a socket that says nothing for a minute. */
  readonly #heartbeats = setInterval(() => this.#send('phoenix', 'heartbeat', {}), 20_000)
  #isSubscribed = false
  #fault: string | null = null
  #wake: () => void = () => {}

  constructor(serverUrl: string) {
    const url = `${serverUrl.replace(/^http/, 'ws')}/realtime/v1/websocket?vsn=1.0.0&apikey=${signToken(subscriberClaims(0), SECRET)}`
    this.#socket = new WebSocket(url)
    this.#socket.on('open', () => this.#join())
    this.#socket.on('error', (error) => this.#fail(error.message))
    this.#socket.on('close', (code) => this.#fail(`the connection was closed with ${code}`))
    this.#socket.on('message', (data: Buffer) => this.#onFrame(performance.now(), data.toString()))
  }

  subscribed(): Promise<void> {
    return this.#until(() => this.#isSubscribed, 'the subscription')
  }

  /** Returns as well when they do not come: what is missing is counted. */
  async received(count: number): Promise<void> {
    await this.#until(() => this.arrivals.size >= count, 'the changes').catch((error: unknown) => {
      if (this.#fault !== null) throw error
    })
  }

  forget(): void {
    this.arrivals.clear()
    this.duplicated = 0
  }

  close(): void {
    clearInterval(this.#heartbeats)
    this.#socket.removeAllListeners('close')
    this.#socket.close()
  }

  #join(): void {
    const postgres_changes = [{ event: 'INSERT', schema: 'public', table: 'notes' }]
    const payload = { config: { postgres_changes }, access_token: signToken(subscriberClaims(0), SECRET) }
    this.#send('realtime:bench', 'phx_join', payload)
  }

  #send(topic: string, event: string, payload: object): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ topic, event, payload, ref: '1', join_ref: '1' }))
  }

  #onFrame(now: number, text: string): void {
    const { event, payload } = JSON.parse(text) as { readonly event: string; readonly payload: Payload }
    if (event === 'postgres_changes') {
      const id = payload.data!.record.id
      if (this.arrivals.has(id)) this.duplicated++
      else this.arrivals.set(id, now)
    } else if (payload.status === 'error') this.#fail(text)
    else if (event === 'system' && payload.message === 'Subscribed to PostgreSQL') this.#isSubscribed = true
    this.#wake()
  }

  #fail(why: string): void {
    this.#fault ??= why
    this.#wake()
  }

  async #until(holds: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + TIMEOUT_MS
    while (!holds()) {
      if (this.#fault !== null) throw new Error(`the subscriber failed: ${this.#fault}`)
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${what} did not come`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

interface Payload {
  readonly status?: string
  readonly message?: string
  readonly data?: { readonly record: { readonly id: number } }
}

/** Runs the built command. */
async function startServer(databaseUrl: string): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const command = new URL('bin/tidewire.js', import.meta.resolve('tidewire/package.json'))
  const { PATH } = process.env
  const server = spawn(process.execPath, [command.pathname, 'start'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH, NODE_ENV: 'production', HOST: '127.0.0.1', PORT: '0', API_JWT_SECRET: SECRET, DATABASE_URL: databaseUrl },
  })
  endWithUs(server)
  const timer = setTimeout(() => server.kill('SIGKILL'), TIMEOUT_MS)
  const log: string[] = []
  const lines = createInterface({ input: server.stdout })
  const url = await new Promise<string>((resolve, reject) => {
    lines.on('line', (line) => {
      if (log.length < 50) log.push(line)
      const found = /listening on (http:\/\/[\w.:]+)/.exec(line)
      if (found !== null) resolve(found[1]!)
    })
    server.once('exit', () => reject(new Error(`the server did not start:\n${log.join('\n')}`)))
  }).finally(() => clearTimeout(timer))
  return { url, stop: () => stopped(server) }
}

async function stopped(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = new Promise((resolve) => server.once('exit', resolve))
  const force = setTimeout(() => server.kill('SIGKILL'), 5_000)
  server.kill('SIGTERM')
  await exited
  clearTimeout(force)
}
