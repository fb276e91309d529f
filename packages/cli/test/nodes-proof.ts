/**
 * Several servers on one database, clients that come back with their last position to another server each time, writes of
 * every kind, and servers, sessions and the database that die. Counts what a client should never notice.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'
import { signJwt } from '../src/jwt.ts'
import { ChangeCollector } from './change-collector.ts'
import { CliSandbox, type CliProcess } from './cli-process.ts'
import { freePort } from './free-port.ts'

export interface ProofPlan {
  readonly servers: number
  readonly clients: number
  readonly writesPerSecond: number
  readonly events: number
  readonly pauseMs: number
}

export interface ProofResult {
  readonly rows: number
  readonly joins: number
  readonly delivered: number
  /** Rows that a client did not get. */
  readonly lost: number
  /** Rows that came twice, or are not in the table. */
  readonly extra: number
  /** Gaps that were reported, changes out of order, and answers that are no changes. */
  readonly faults: readonly string[]
  readonly events: Readonly<Record<string, number>>
  /** Names of what is left when all servers have ended. */
  readonly slotsLeft: readonly string[]
}

const SECRET = 'a-secret-that-is-only-for-these-tests'
const SETTINGS = { fsync: 'off', max_prepared_transactions: '50', max_connections: '100', max_slot_wal_keep_size: '4GB' }
const LIMITS = { connectionTimeoutMillis: 10_000, query_timeout: 15_000 }
/** Clients that listen to every row; the others share the rows among them. */
const ALL = 3

export async function proveNodes(plan: ProofPlan): Promise<ProofResult> {
  const proof = new NodesProof(plan)
  try {
    return await proof.run()
  } finally {
    await proof.clear()
  }
}

interface Node {
  readonly port: number
  process: CliProcess
}

class NodesProof {
  readonly #plan: ProofPlan
  readonly #sandbox = new CliSandbox()
  readonly #base = mkdtempSync(join(tmpdir(), 'tidewire-nodes-'))
  readonly #collectors: { readonly collector: ChangeCollector; readonly bucket: number | null }[] = []
  readonly #nodes: Node[] = []
  readonly #writers: Promise<void>[] = []
  #postgres: EmbeddedPostgres | null = null
  #writing = true

  constructor(plan: ProofPlan) {
    this.#plan = plan
    chmodSync(this.#base, 0o755)
  }

  async run(): Promise<ProofResult> {
    const { servers, clients, writesPerSecond } = this.#plan
    await this.#startPostgres()
    await this.#query('create table journal (id bigserial primary key, bucket int, body text)')
    for (let at = 0; at < servers; at++) {
      const port = await freePort()
      this.#nodes.push({ port, process: this.#spawn(port) })
      // The first one prepares the database.
      await this.#ready(port)
    }
    await this.#query(
      `grant usage on schema public to authenticated; grant select on journal to authenticated; alter publication supabase_realtime add table journal`,
    )
    const token = await signJwt({ role: 'authenticated', sub: '1', exp: Math.floor(Date.now() / 1000) + 3_600 }, SECRET)
    for (let at = 0; at < clients; at++) {
      const bucket = at < ALL ? null : at - ALL
      const entry = { event: 'INSERT', schema: 'public', table: 'journal', ...(bucket === null ? {} : { filter: `bucket=eq.${bucket}` }) }
      this.#collectors.push({ bucket, collector: new ChangeCollector(() => this.#someUrl(), token, entry) })
    }
    for (const { collector } of this.#collectors) await collector.until(() => collector.joins > 0, 60_000)
    const writers = 5
    for (let at = 0; at < writers; at++) this.#writers.push(this.#write(writesPerSecond / writers))
    const events = await this.#disturb()
    log('writers end')
    this.#writing = false
    await Promise.all(this.#writers)
    log('counting')
    await this.#finishPrepared()
    const counted = await this.#count()
    for (const { collector } of this.#collectors) collector.close()
    for (const { process } of this.#nodes) await process.stop('SIGTERM')
    return { ...counted, events, slotsLeft: await this.#slotsLeft() }
  }

  async clear(): Promise<void> {
    this.#writing = false
    for (const { collector } of this.#collectors) collector.close()
    await this.#sandbox.clear()
    await Promise.allSettled(this.#writers)
    await this.#postgres?.stop()
    rmSync(this.#base, { recursive: true, force: true })
  }

  #someUrl(): string {
    return `http://127.0.0.1:${pick(this.#nodes).port}`
  }

  #spawn(port: number): CliProcess {
    const env = {
      ...{ PORT: String(port), HOST: '127.0.0.1', API_JWT_SECRET: SECRET, DATABASE_URL: this.#postgres!.url, LOG_LEVEL: 'error' },
      ...{ TENANT_MAX_CONCURRENT_USERS: 'unlimited', TENANT_MAX_JOINS_PER_SECOND: 'unlimited' },
    }
    return this.#sandbox.start(['start'], { env })
  }

  async #ready(port: number): Promise<void> {
    const deadline = Date.now() + 60_000
    let last = ''
    while (Date.now() < deadline) {
      try {
        const answer = await fetch(`http://127.0.0.1:${port}/healthcheck?ready`)
        if (answer.status === 200) return
        last = await answer.text()
      } catch {
        last = 'no answer'
      }
      await delay(25)
    }
    throw new Error(`the server on ${port} is not ready: ${last}`)
  }

  /** One event after the other, and clients that move meanwhile. */
  async #disturb(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {}
    const events: Record<string, () => Promise<void>> = {
      'kill a server': () => this.#restart('SIGKILL'),
      'restart a server': () => this.#restart('SIGTERM'),
      'cut the sessions of a server': () => this.#cut(`application_name like 'tidewire %' and random() < 0.4`),
      'cut every session': () => this.#cut(`application_name like 'tidewire %'`),
      'kill Postgres': () => this.#killPostgres(),
      'kill a server and Postgres': async () => {
        const restarted = this.#restart('SIGKILL')
        await this.#killPostgres()
        await restarted
      },
      'every client moves': async () => {
        for (const { collector } of this.#collectors) collector.reconnect()
      },
    }
    const names = Object.keys(events)
    for (let at = 0; at < this.#plan.events; at++) {
      const name = names[at % names.length]!
      counts[name] = (counts[name] ?? 0) + 1
      log(name)
      await events[name]!()
      const until = Date.now() + this.#plan.pauseMs * (0.5 + Math.random())
      while (Date.now() < until) {
        pick(this.#collectors).collector.reconnect()
        await delay(50)
      }
    }
    return counts
  }

  async #restart(signal: NodeJS.Signals): Promise<void> {
    const node = pick(this.#nodes)
    await node.process.stop(signal)
    node.process = this.#spawn(node.port)
    await this.#ready(node.port)
  }

  async #cut(which: string): Promise<void> {
    await this.#query(`select pg_terminate_backend(pid) from pg_stat_activity where ${which} and pid <> pg_backend_pid()`).catch(() => {})
  }

  async #killPostgres(): Promise<void> {
    process.kill(this.#postgres!.pid, 'SIGKILL')
    await this.#startPostgres()
  }

  async #startPostgres(): Promise<void> {
    const installation = process.env['TIDEWIRE_TEST_POSTGRES']
    const port = this.#postgres?.port
    this.#postgres = await startEmbeddedPostgres({
      installation,
      dataDir: join(this.#base, 'db'),
      ...(port === undefined ? {} : { port }),
      settings: SETTINGS,
    })
  }

  /** Transactions of every kind, until the end; what was not committed is not in the table, and so not expected. */
  async #write(rowsPerSecond: number): Promise<void> {
    while (this.#writing) {
      const sql = new pg.Client({ connectionString: this.#postgres!.url, ...LIMITS })
      sql.on('error', () => {})
      try {
        await sql.connect()
        while (this.#writing) {
          const started = Date.now()
          const rows = await this.#transaction(sql)
          await delay(Math.max(0, (rows / rowsPerSecond) * 1_000 - (Date.now() - started)))
        }
      } catch {
        await delay(50)
      } finally {
        // It may never hear from a server that was killed.
        void sql.end().catch(() => {})
      }
    }
  }

  async #transaction(sql: pg.Client): Promise<number> {
    const buckets = Math.max(1, this.#plan.clients - ALL)
    const insert = async (rows: number): Promise<void> => {
      await sql.query(`insert into journal (bucket, body) select floor(random() * $2), repeat('x', 100) from generate_series(1, $1::int)`, [
        rows,
        buckets,
      ])
    }
    const rows = 1 + Math.floor(Math.random() * 20)
    const kind = Math.random()
    await sql.query('begin')
    await insert(rows)
    if (kind < 0.1) await sql.query('rollback')
    else if (kind < 0.25) {
      await sql.query('savepoint a')
      await insert(2)
      await sql.query('rollback to savepoint a; savepoint b')
      await insert(2)
      await sql.query('release savepoint b; commit')
    } else if (kind < 0.35) {
      const name = `p${process.pid}_${Date.now()}_${Math.floor(Math.random() * 1e9)}`
      await sql.query(`prepare transaction '${name}'`)
      await delay(Math.random() * 300)
      await sql.query(kind < 0.33 ? `commit prepared '${name}'` : `rollback prepared '${name}'`)
    } else if (kind < 0.37) {
      // Long, beside the others.
      await delay(1_000 + Math.random() * 1_000)
      await insert(5)
      await sql.query('commit')
    } else await sql.query('commit')
    return rows
  }

  async #finishPrepared(): Promise<void> {
    for (const { gid } of await this.#query<{ gid: string }>('select gid from pg_prepared_xacts'))
      await this.#query(`commit prepared '${gid}'`)
  }

  async #count(): Promise<Omit<ProofResult, 'events' | 'slotsLeft'>> {
    const written = await this.#query<{ id: string; bucket: number }>('select id, bucket from journal')
    const result = { rows: written.length, joins: 0, delivered: 0, lost: 0, extra: 0, faults: [] as string[] }
    for (const { collector, bucket } of this.#collectors) {
      const expected = new Set(written.filter((row) => bucket === null || row.bucket === bucket).map(({ id }) => Number(id)))
      // What is missing does not come later than what another client has waited for.
      await settled(collector, expected.size, result.lost === 0 ? 30_000 : 500)
      log(
        `bucket ${bucket}: ${collector.changes.length} of ${expected.size}, ${collector.joins} joins, ${collector.faults.slice(0, 3).join('; ')}`,
      )
      const seen = collector.changes.map(({ record }) => Number(record['id']))
      const once = new Set(seen)
      result.joins += collector.joins
      result.delivered += seen.length
      result.lost += [...expected].filter((id) => !once.has(id)).length
      result.extra += seen.length - [...once].filter((id) => expected.has(id)).length
      result.faults.push(...collector.faults)
    }
    return result
  }

  async #slotsLeft(): Promise<string[]> {
    const deadline = Date.now() + 10_000
    for (;;) {
      const slots = await this.#query<{ name: string }>('select slot_name as name from pg_replication_slots')
      if (slots.length <= 1 || Date.now() > deadline) return slots.map(({ name }) => name)
      await delay(50)
    }
  }

  async #query<Row extends pg.QueryResultRow>(text: string): Promise<Row[]> {
    const sql = new pg.Client({ connectionString: this.#postgres!.url, ...LIMITS })
    sql.on('error', () => {})
    await sql.connect()
    try {
      const result = (await sql.query<Row>(text)) as pg.QueryResult<Row> | pg.QueryResult<Row>[]
      return Array.isArray(result) ? result.at(-1)!.rows : result.rows
    } finally {
      void sql.end().catch(() => {})
    }
  }
}

/** Waits for so many changes, as long as some come: a client on a busy machine may be far behind, and a lost change stops nothing. */
async function settled(collector: ChangeCollector, count: number, patienceMs: number): Promise<void> {
  for (let before = -1; collector.changes.length < count && collector.changes.length > before;) {
    before = collector.changes.length
    await collector.until(() => collector.changes.length >= count, patienceMs).catch(() => {})
  }
}

function log(text: string): void {
  if (process.env['TIDEWIRE_PROOF_LOG'] !== undefined) console.log(new Date().toISOString(), text)
}

function pick<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)]!
}
