/** Three `tidewire start` on one Postgres and one NATS, each with ways of its own to both, under load and under faults. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import { NatsServer, TcpProxy } from '@tidewire/testkit'
import pg from 'pg'
import { signJwt } from '../src/jwt.ts'
import { CliSandbox, type CliProcess } from './cli-process.ts'
import { broadcastFaults, ClusterClient } from './cluster-client.ts'
import { freePort } from './free-port.ts'
import { StockClient } from './stock-client.ts'

const SECRET = 'a-secret-that-is-only-for-these-tests'
const installation = process.env['TIDEWIRE_TEST_POSTGRES']

/** Members of a topic: more, and the sockets of this process are what is measured. */
const ROOM_SIZE = 50

const unlimited = Object.fromEntries(
  ['CONCURRENT_USERS', 'CHANNELS_PER_CLIENT', 'JOINS_PER_SECOND', 'EVENTS_PER_SECOND'].map((name) => [`TENANT_MAX_${name}`, 'unlimited']),
)

export interface PlayedNode {
  readonly name: string
  readonly port: number
  readonly toNats: TcpProxy
  readonly toPostgres: TcpProxy
  process: CliProcess
}

/** What happens to one node: the others, and all clients, have to go on. */
export type Fault = 'kill' | 'cut-nats' | 'cut-postgres' | 'freeze' | 'drain'

export class ClusterPlay {
  readonly nats: NatsServer
  readonly postgres: EmbeddedPostgres
  readonly nodes: PlayedNode[] = []
  readonly clients: ClusterClient[] = []
  readonly stock: StockClient[] = []
  /** In front of all nodes. */
  readonly front: TcpProxy
  readonly #base: string
  readonly #sandbox: CliSandbox
  readonly #token: string
  readonly #sql: pg.Client
  /** When each row was written, its number counted from 1. */
  readonly #writtenAt: number[] = []
  #loading: Promise<void> | null = null
  #stopped = false

  private constructor(base: string, nats: NatsServer, postgres: EmbeddedPostgres, front: TcpProxy, token: string, sql: pg.Client) {
    this.#base = base
    this.#sandbox = new CliSandbox()
    this.nats = nats
    this.postgres = postgres
    this.front = front
    this.#token = token
    this.#sql = sql
  }

  static async start(): Promise<ClusterPlay> {
    const base = mkdtempSync(join(tmpdir(), 'tidewire-cluster-'))
    chmodSync(base, 0o755)
    const settings = { fsync: 'off', max_wal_senders: '30', max_replication_slots: '30' }
    const [nats, postgres] = await Promise.all([
      NatsServer.start(),
      startEmbeddedPostgres({ installation, dataDir: join(base, 'db'), settings }),
    ])
    const sql = new pg.Client({ connectionString: postgres.url })
    await sql.connect()
    const token = await signJwt({ role: 'authenticated', sub: 'me', exp: Math.floor(Date.now() / 1000) + 7_200 }, SECRET)
    const play = new ClusterPlay(base, nats, postgres, await TcpProxy.start(), token, sql)
    await Promise.all(['a', 'b', 'c'].map((name) => play.#addNode(name)))
    await sql.query(
      `create table journal (id int primary key);
       alter table journal enable row level security;
       create policy everything on journal for select to authenticated using (true);
       grant select on journal to authenticated;
       alter publication supabase_realtime add table journal`,
    )
    play.front.setTargets(...play.nodes.map(({ port }) => ({ port })))
    return play
  }

  /** Joins so many clients, everywhere, and waits for them. */
  async join(count: number): Promise<void> {
    for (let id = 0; id < count; id++) {
      this.clients.push(new ClusterClient(id, Math.floor(id / ROOM_SIZE), this.front.port, this.#token))
      if (id % 50 === 49) await delay(50)
    }
    await this.until(() => this.clients.every(({ live }) => live), 60_000, 'all clients joined')
  }

  /** Joins unmodified clients of Supabase besides, in the rooms of the others. */
  async joinStock(count: number): Promise<void> {
    const from = this.clients.length
    const rooms = Math.max(1, Math.ceil(from / ROOM_SIZE))
    for (let n = 0; n < count; n++) this.stock.push(new StockClient(from + n, n % rooms, this.front.port, this.#token))
    await this.until(() => this.stock.every(({ live }) => live), 60_000, 'all unmodified clients joined')
  }

  /** Waits until all are back, and says who is not. */
  async allJoined(withinMs: number): Promise<void> {
    const missing = (): string[] => [
      ...this.clients.filter(({ joined }) => !joined).map(({ id }) => `${id}`),
      ...this.stock.filter(({ live }) => !live).map(({ id }) => `stock ${id}`),
    ]
    await this.until(
      () => missing().length === 0,
      withinMs,
      () => `all clients joined again; ${missing().length} did not: ${missing().slice(0, 10).join()}`,
    )
  }

  get #all(): readonly (ClusterClient | StockClient)[] {
    return [...this.clients, ...this.stock]
  }

  /** From now on it is noted when any client loses sight of another. */
  async watchPresence(): Promise<void> {
    const keysIn = (room: number): string[] => this.#all.filter((each) => each.room === room).map(({ id }) => `k${id}`)
    const seesAll = ({ present, room }: ClusterClient | StockClient): boolean => new Set(present).size === keysIn(room).length
    await this.until(() => this.#all.every(seesAll), 15_000, 'all see all')
    for (const client of this.#all) client.expectedKeys = keysIn(client.room)
  }

  get flickers(): string[] {
    return this.#all.flatMap(({ flickers }) => flickers)
  }

  /** Writes rows and sends broadcasts until `quiet`. */
  load(senders: number, everyMs: number): void {
    // In all rooms, on all nodes.
    const step = Math.max(1, Math.floor(this.clients.length / senders))
    const sending = this.clients.filter((_, at) => at % step === 0)
    const run = async (): Promise<void> => {
      for (let round = 0; !this.#stopped; round++) {
        for (const client of sending) client.broadcast()
        this.#writtenAt.push(performance.now())
        await this.#sql.query('insert into journal values ($1)', [this.#writtenAt.length])
        await delay(everyMs)
      }
    }
    this.#loading = run()
  }

  async quiet(): Promise<void> {
    this.#stopped = true
    await this.#loading
  }

  async strike(node: PlayedNode, fault: Fault, ms: number): Promise<void> {
    switch (fault) {
      case 'kill':
      case 'drain': {
        if (fault === 'kill') await node.process.kill()
        else await node.process.stop('SIGTERM')
        await delay(ms)
        node.process = await this.#startNode(node)
        return
      }
      case 'freeze':
        node.process.signal('SIGSTOP')
        await delay(ms)
        node.process.signal('SIGCONT')
        return
      case 'cut-nats':
      case 'cut-postgres': {
        const way = fault === 'cut-nats' ? node.toNats : node.toPostgres
        way.cut()
        await delay(ms)
        way.heal()
      }
    }
  }

  async restartNats(ms: number): Promise<void> {
    await this.nats.kill()
    await delay(ms)
    await this.nats.start()
  }

  /** Everything that is wrong once nothing has happened for a while. */
  async verdict(): Promise<string[]> {
    const keysIn = (room: number): string[] =>
      this.#all
        .filter((each) => each.room === room)
        .map(({ id }) => `k${id}`)
        .sort()
    const keys = new Map(this.clients.map(({ room }) => [room, keysIn(room)]))
    const isWhole = ({ present, room }: ClusterClient | StockClient): boolean => {
      const all = keys.get(room)!
      return present.length === all.length && present.every((key, at) => key === all[at])
    }
    const faults: string[] = []
    const wait = (read: () => boolean, withinMs: number, what: string): Promise<void> =>
      this.until(read, withinMs, what).catch((error: unknown) => void faults.push((error as Error).message))
    await this.allJoined(15_000).catch((error: unknown) => void faults.push((error as Error).message))
    const written = this.#writtenAt.length
    await wait(() => this.clients.every(({ rows }) => rows.length >= written), 15_000, 'all rows came')
    await wait(() => this.#all.every(isWhole), 10_000, 'presence was the same everywhere')
    const rows = Array.from({ length: written }, (_, at) => at + 1).join()
    for (const client of this.clients) {
      faults.push(...client.faults)
      if (client.rows.join() !== rows) faults.push(`client ${client.id} got ${client.rows.length} of ${written} rows, or in another order`)
    }
    const senders = this.clients.filter(({ acknowledged }) => acknowledged.length > 0)
    const hasLast = (receiver: ClusterClient | StockClient, { id, room, acknowledged }: ClusterClient): boolean =>
      receiver.room !== room || receiver.id === id || receiver.received.findLast(({ from }) => from === id)?.n === acknowledged.at(-1)
    // Those that are still under way are not lost. What is missing for good is found below.
    await this.until(() => this.#all.every((receiver) => senders.every((sender) => hasLast(receiver, sender))), 5_000, '').catch(() => {})
    for (const client of this.stock) faults.push(...client.faults, ...client.missedRows(this.#writtenAt))
    for (const receiver of this.#all)
      for (const sender of senders)
        if (receiver !== sender && receiver.room === sender.room) faults.push(...broadcastFaults(receiver, sender))
    return faults
  }

  get summary(): string {
    const sum = (of: (client: ClusterClient) => number): number => this.clients.reduce((total, client) => total + of(client), 0)
    const absences = this.clients.map(({ longestAbsenceMs }) => longestAbsenceMs).sort((a, b) => a - b)
    return [
      `${this.clients.length} clients and ${this.stock.length} unmodified ones, ${sum(({ joins }) => joins)} joins, ${sum(({ gaps }) => gaps)} gaps notified,`,
      `${this.#writtenAt.length} rows, ${sum(({ acknowledged }) => acknowledged.length)} broadcasts, ${sum(({ received }) => received.length)} received,`,
      `away for ${Math.round(absences.at(-1) ?? 0)} ms at most`,
    ].join(' ')
  }

  async until(read: () => boolean, withinMs: number, what: string | (() => string)): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!read()) {
      if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms: ${typeof what === 'string' ? what : what()}`)
      await delay(20)
    }
  }

  async stop(): Promise<void> {
    await this.quiet()
    for (const client of this.#all) client.close()
    // A frozen process does not end.
    for (const { process } of this.nodes) process.signal('SIGCONT')
    await this.#sandbox.clear()
    await this.front.close()
    for (const { toNats, toPostgres } of this.nodes) await Promise.all([toNats.close(), toPostgres.close()])
    await this.#sql.end()
    await this.postgres.stop()
    await this.nats.close()
    rmSync(this.#base, { recursive: true, force: true })
  }

  async #addNode(name: string): Promise<void> {
    const [port, toNats, toPostgres] = await Promise.all([
      freePort(),
      TcpProxy.start({ port: this.nats.port }),
      TcpProxy.start({ port: this.postgres.port }),
    ])
    const node = { name, port, toNats, toPostgres }
    this.nodes.push({ ...node, process: await this.#startNode(node) })
  }

  async #startNode({ name, port, toNats, toPostgres }: Omit<PlayedNode, 'process'>): Promise<CliProcess> {
    const url = new URL(this.postgres.url)
    url.port = String(toPostgres.port)
    const server = this.#sandbox.start(['start'], {
      env: {
        ...unlimited,
        ...{ PORT: String(port), HOST: '127.0.0.1', API_JWT_SECRET: SECRET, DATABASE_URL: url.href },
        ...{ TIDEWIRE_NATS_URL: `nats://127.0.0.1:${toNats.port}`, TIDEWIRE_NODE_NAME: name, CLIENT_PRESENCE_MAX_CALLS: 'unlimited' },
      },
    })
    await server.line((line) => line.includes('listening on '))
    await server.line((line) => line.includes('connected to the other nodes'))
    return server
  }
}
