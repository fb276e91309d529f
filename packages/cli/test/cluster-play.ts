/** Three `tidewire start` on one Postgres and one NATS or two, each with ways of its own to both, under load and under faults. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import { NatsPair, NatsServer, TcpProxy } from '@tidewire/testkit'
import pg from 'pg'
import { signJwt } from '../src/jwt.ts'
import { CliSandbox } from './cli-process.ts'
import { broadcastFaults, ClusterClient } from './cluster-client.ts'
import { cutFor, LinkFaults } from './link-faults.ts'
import { NodeLosses, spread } from './node-losses.ts'
import { PlayedNode, SECRET } from './played-node.ts'
import { StockClient } from './stock-client.ts'
import type { StoredPayload } from './stored-listener.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']

/** Members of a topic: more, and the sockets of this process are what is measured. */
const ROOM_SIZE = 50

export interface ClusterOptions {
  /** With two, the last node is on the second. */
  readonly natsServers?: 1 | 2
  /** When nodes close a silent socket. Default: as they do. */
  readonly idleTimeoutMs?: number
}

interface Nats {
  readonly servers: readonly NatsServer[]
  readonly route: TcpProxy | null
}

type PlayedClient = ClusterClient | StockClient

/** What happens to one node: the others, and all clients, have to go on. */
export type Fault = 'kill' | 'cut-nats' | 'cut-postgres' | 'freeze' | 'drain'

export class ClusterPlay {
  readonly nats: readonly NatsServer[]
  /** Between the two servers of NATS, where there are two. */
  readonly route: TcpProxy | null
  readonly postgres: EmbeddedPostgres
  readonly nodes: PlayedNode[] = []
  readonly clients: ClusterClient[] = []
  readonly stock: StockClient[] = []
  /** In front of all nodes. */
  readonly front: TcpProxy
  readonly losses: NodeLosses
  /** When messages between nodes may have been lost. */
  readonly linkFaults = new LinkFaults()
  readonly #base: string
  readonly #sandbox: CliSandbox
  readonly #token: string
  readonly #sql: pg.Client
  /** When each row was written, its number counted from 1. */
  readonly #writtenAt: number[] = []
  #stored = 0
  #loading: Promise<void> | null = null
  #stopped = false

  private constructor(base: string, { servers, route }: Nats, postgres: EmbeddedPostgres, front: TcpProxy, token: string, sql: pg.Client) {
    this.#base = base
    this.#sandbox = new CliSandbox()
    this.nats = servers
    this.route = route
    this.postgres = postgres
    this.front = front
    this.#token = token
    this.#sql = sql
    this.losses = new NodeLosses(this.clients)
  }

  static async start({ natsServers = 1, ...options }: ClusterOptions = {}): Promise<ClusterPlay> {
    const base = mkdtempSync(join(tmpdir(), 'tidewire-cluster-'))
    chmodSync(base, 0o755)
    const settings = { fsync: 'off', max_wal_senders: '30', max_replication_slots: '30' }
    const [nats, postgres] = await Promise.all([
      natsServers === 1 ? NatsServer.start().then((server) => ({ servers: [server], route: null })) : NatsPair.start(),
      startEmbeddedPostgres({ installation, dataDir: join(base, 'db'), settings }),
    ])
    const sql = new pg.Client({ connectionString: postgres.url })
    await sql.connect()
    const token = await signJwt({ role: 'authenticated', sub: 'me', exp: Math.floor(Date.now() / 1000) + 7_200 }, SECRET)
    const play = new ClusterPlay(base, nats, postgres, await TcpProxy.start(), token, sql)
    const surroundings = { sandbox: play.#sandbox, postgresUrl: postgres.url, ...options }
    const natsPorts = [nats.servers[0].port, nats.servers[0].port, nats.servers.at(-1)!.port]
    const starting = ['a', 'b', 'c'].map((name, at) => PlayedNode.start(name, { ...surroundings, natsPort: natsPorts[at]! }))
    play.nodes.push(...(await Promise.all(starting)))
    await sql.query(
      `create table journal (id int primary key);
       alter table journal enable row level security;
       create policy everything on journal for select to authenticated using (true);
       grant select on journal to authenticated;
       alter publication supabase_realtime add table journal;
       create policy everything on realtime.messages for select to authenticated using (true)`,
    )
    play.front.setTargets(...play.nodes.map(({ port }) => ({ port })))
    return play
  }

  /** Joins so many clients, everywhere, and waits for them. */
  async join(count: number): Promise<void> {
    const nodeAt = (port: number | undefined): PlayedNode | null => this.nodes.find((node) => node.port === port) ?? null
    const nodeOf = (localPort: number): PlayedNode | null => nodeAt(this.front.targetOf(localPort)?.port)
    const entrance = { port: this.front.port, token: this.#token, nodeOf }
    for (let id = 0; id < count; id++) {
      this.clients.push(new ClusterClient(id, Math.floor(id / ROOM_SIZE), entrance))
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

  get #all(): readonly PlayedClient[] {
    return [...this.clients, ...this.stock]
  }

  /** From now on it is noted when any of these clients loses sight of another. */
  async watchPresence(watching: readonly PlayedClient[] = this.#all): Promise<void> {
    await this.allSeeAll(15_000)
    for (const client of watching) client.expectedKeys = this.keysIn(client.room)
  }

  ignorePresence(): void {
    for (const client of this.#all) client.expectedKeys = []
  }

  async allSeeAll(withinMs: number): Promise<void> {
    const keys = new Map(this.clients.map(({ room }) => [room, this.keysIn(room)]))
    const seesAll = ({ present, room }: PlayedClient): boolean => {
      const all = keys.get(room)!
      return present.length === all.length && present.every((key, at) => key === all[at])
    }
    await this.until(() => this.#all.every(seesAll), withinMs, 'presence was the same everywhere')
  }

  keysIn(room: number): readonly string[] {
    const members = this.#all.filter((each) => each.room === room)
    return members.map(({ id }) => `k${id}`).sort()
  }

  get flickers(): string[] {
    return this.#all.flatMap(({ flickers }) => flickers)
  }

  /** Writes rows and sends broadcasts until `quiet`. */
  load(senders: number, everyMs: number): void {
    // In all rooms, on all nodes.
    const step = Math.max(1, Math.floor(this.clients.length / senders))
    const sending = this.clients.filter((_, at) => at % step === 0)
    let lastStoredAt = 0
    const run = async (): Promise<void> => {
      for (let round = 0; !this.#stopped; round++) {
        for (const client of sending) client.broadcast()
        this.#writtenAt.push(performance.now())
        await this.#sql.query('insert into journal values ($1)', [this.#writtenAt.length])
        // A second is what a client that was away for twenty can still be given again.
        if (performance.now() - lastStoredAt > 1_000) {
          lastStoredAt = performance.now()
          const message: StoredPayload = { n: ++this.#stored, at: Date.now() }
          await this.#sql.query(`select realtime.send($1, 'stored', 'stored', true)`, [message])
        }
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
        if (fault === 'kill') await this.kill(node)
        else await node.drain()
        await delay(ms)
        return node.start()
      }
      case 'freeze':
        return this.#apart(node, async () => {
          node.signal('SIGSTOP')
          await delay(ms)
          node.signal('SIGCONT')
        })
      case 'cut-nats':
        return this.#apart(node, () => cutFor(node.toNats, ms))
      case 'cut-postgres':
        return cutFor(node.toPostgres, ms)
    }
  }

  async #apart(node: PlayedNode, fault: () => Promise<void>): Promise<void> {
    node.lastApartAt = Infinity
    await this.linkFaults.during(fault)
    node.lastApartAt = performance.now()
  }

  /** As kill -9; what its end looks like from outside is written down. */
  async kill(node: PlayedNode): Promise<void> {
    const at = performance.now()
    await node.kill()
    this.losses.watch(at)
  }

  /** All its servers unless some are named. */
  async restartNats(ms: number, servers: readonly NatsServer[] = this.nats): Promise<void> {
    await this.linkFaults.during(async () => {
      await Promise.all(servers.map((server) => server.kill()))
      await delay(ms)
      await Promise.all(servers.map((server) => server.start()))
    })
  }

  /** Parts the two servers of NATS: their nodes stay connected, each to its own. */
  async partNats(ms: number): Promise<void> {
    await this.linkFaults.during(() => cutFor(this.route!, ms))
  }

  /** Everything that is wrong once nothing has happened for a while. */
  async verdict(): Promise<string[]> {
    const faults: string[] = [...(await this.losses.settled())]
    const note = (waiting: Promise<void>): Promise<void> => waiting.catch((error: unknown) => void faults.push((error as Error).message))
    const written = this.#writtenAt.length
    await note(this.allJoined(15_000))
    await note(this.until(() => this.clients.every(({ rows }) => rows.length >= written), 15_000, 'all rows came'))
    await note(this.until(() => this.clients.every(({ stored }) => stored.last === this.#stored), 15_000, 'all messages from SQL came'))
    await note(this.allSeeAll(10_000))
    const rows = Array.from({ length: written }, (_, at) => at + 1).join()
    for (const client of this.clients) {
      faults.push(...client.faults, ...client.stored.faults, ...this.linkFaults.unexplained(client))
      if (client.rows.join() !== rows) faults.push(`client ${client.id} got ${client.rows.length} of ${written} rows, or in another order`)
    }
    const senders = this.clients.filter(({ acknowledged }) => acknowledged.length > 0)
    const hasLast = (receiver: PlayedClient, { id, room, acknowledged }: ClusterClient): boolean =>
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
    const awayMs = this.clients.flatMap(({ absences }) =>
      absences.flatMap(({ lostAt, joinedAt }) => (joinedAt === null ? [] : [joinedAt - lostAt])),
    )
    return [
      `${this.clients.length} clients and ${this.stock.length} unmodified ones, ${sum(({ joins }) => joins)} joins, ${sum(({ gaps }) => gaps)} gaps notified,`,
      `${this.#writtenAt.length} rows, ${sum(({ acknowledged }) => acknowledged.length)} broadcasts, ${sum(({ received }) => received.length)} received,`,
      `${this.#stored} messages from SQL, ${sum(({ stored }) => stored.received)} received`,
      ...(awayMs.length === 0 ? [] : [`without a socket for ${spread(awayMs)}`]),
      ...this.losses.summary,
    ].join('\n')
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
    for (const node of this.nodes) node.signal('SIGCONT')
    await this.#sandbox.clear()
    await this.front.close()
    for (const node of this.nodes) await node.closeWays()
    await this.#sql.end()
    await this.postgres.stop()
    for (const server of this.nats) await server.close()
    await this.route?.close()
    rmSync(this.#base, { recursive: true, force: true })
  }
}
