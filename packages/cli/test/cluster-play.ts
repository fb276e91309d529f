/** Three `tidewire start` on one Postgres and one NATS or two, each with ways of its own to both, under load and under faults. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '@tidewire/postgres'
import { freePort, NatsPair, NatsServer, TcpProxy } from '@tidewire/testkit'
import pg from 'pg'
import { signJwt } from '../src/jwt.ts'
import { CliSandbox, type CliProcess } from './cli-process.ts'
import { broadcastFaults, ClusterClient } from './cluster-client.ts'
import { LinkFaults } from './link-faults.ts'
import { NodeLosses } from './node-losses.ts'

const SECRET = 'a-secret-that-is-only-for-these-tests'
const installation = process.env['TIDEWIRE_TEST_POSTGRES']

/** Members of a topic: more, and the sockets of this process are what is measured. */
const ROOM_SIZE = 50

const unlimited = Object.fromEntries(
  ['CONCURRENT_USERS', 'CHANNELS_PER_CLIENT', 'JOINS_PER_SECOND', 'EVENTS_PER_SECOND'].map((name) => [`TENANT_MAX_${name}`, 'unlimited']),
)

interface Nats {
  readonly servers: readonly NatsServer[]
  readonly route: TcpProxy | null
}

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
  readonly nats: readonly NatsServer[]
  /** Between the two servers of NATS, where there are two. */
  readonly route: TcpProxy | null
  readonly postgres: EmbeddedPostgres
  readonly nodes: PlayedNode[] = []
  readonly clients: ClusterClient[] = []
  /** In front of all nodes. */
  readonly front: TcpProxy
  readonly losses: NodeLosses
  /** When messages between nodes may have been lost. */
  readonly linkFaults = new LinkFaults()
  readonly #base: string
  readonly #sandbox: CliSandbox
  readonly #token: string
  readonly #sql: pg.Client
  #written = 0
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

  /** `natsServers`: with two, the last node is on the second. */
  static async start({ natsServers = 1 }: { readonly natsServers?: 1 | 2 } = {}): Promise<ClusterPlay> {
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
    await Promise.all(['a', 'b', 'c'].map((name) => play.#addNode(name, name === 'c' ? nats.servers.at(-1)! : nats.servers[0]!)))
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

  /** From now on it is noted when any of these clients loses sight of another. */
  async watchPresence(watching: readonly ClusterClient[] = this.clients): Promise<void> {
    await this.allSeeAll(15_000)
    for (const client of watching) client.expectedKeys = this.keysIn(client.room)
  }

  ignorePresence(): void {
    for (const client of this.clients) client.expectedKeys = []
  }

  async allSeeAll(withinMs: number): Promise<void> {
    const keys = new Map(this.clients.map(({ room }) => [room, this.keysIn(room)]))
    const seesAll = ({ present, room }: ClusterClient): boolean => {
      const all = keys.get(room)!
      return present.length === all.length && present.every((key, at) => key === all[at])
    }
    await this.until(() => this.clients.every(seesAll), withinMs, 'presence was the same everywhere')
  }

  keysIn(room: number): readonly string[] {
    return this.clients
      .filter((each) => each.room === room)
      .map(({ id }) => `k${id}`)
      .sort()
  }

  /** Where a client is connected. */
  nodeOf({ localPort }: ClusterClient): PlayedNode | null {
    const target = this.front.targetOf(localPort)
    return this.nodes.find(({ port }) => port === target?.port) ?? null
  }

  get flickers(): string[] {
    return this.clients.flatMap(({ flickers }) => flickers)
  }

  /** Writes rows and sends broadcasts until `quiet`. */
  load(senders: number, everyMs: number): void {
    // In all rooms, on all nodes.
    const step = Math.max(1, Math.floor(this.clients.length / senders))
    const sending = this.clients.filter((_, at) => at % step === 0)
    const run = async (): Promise<void> => {
      for (let round = 0; !this.#stopped; round++) {
        for (const client of sending) client.broadcast()
        await this.#sql.query('insert into journal values ($1)', [++this.#written])
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
        else await node.process.stop('SIGTERM')
        await delay(ms)
        return this.revive(node)
      }
      case 'freeze':
        return this.linkFaults.during(async () => {
          node.process.signal('SIGSTOP')
          await delay(ms)
          node.process.signal('SIGCONT')
        })
      case 'cut-nats':
        return this.linkFaults.during(() => cutFor(node.toNats, ms))
      case 'cut-postgres':
        return cutFor(node.toPostgres, ms)
    }
  }

  /** As kill -9; what its end looks like from outside is written down. */
  async kill(node: PlayedNode): Promise<void> {
    const at = performance.now()
    await node.process.kill()
    this.losses.watch(at)
  }

  async revive(node: PlayedNode): Promise<void> {
    node.process = await this.#startNode(node)
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
    await note(this.until(() => this.clients.every(({ joined }) => joined), 15_000, 'all clients joined again'))
    await note(this.until(() => this.clients.every(({ rows }) => rows.length >= this.#written), 15_000, 'all rows came'))
    await note(this.allSeeAll(10_000))
    const rows = Array.from({ length: this.#written }, (_, at) => at + 1).join()
    for (const client of this.clients) {
      faults.push(...client.faults, ...this.linkFaults.unexplained(client))
      if (client.rows.join() !== rows)
        faults.push(`client ${client.id} got ${client.rows.length} of ${this.#written} rows, or in another order`)
    }
    const senders = this.clients.filter(({ acknowledged }) => acknowledged.length > 0)
    for (const receiver of this.clients)
      for (const sender of senders)
        if (receiver !== sender && receiver.room === sender.room) faults.push(...broadcastFaults(receiver, sender))
    return faults
  }

  get summary(): string {
    const sum = (of: (client: ClusterClient) => number): number => this.clients.reduce((total, client) => total + of(client), 0)
    return [
      `${this.clients.length} clients, ${sum(({ joins }) => joins)} joins, ${sum(({ gaps }) => gaps)} gaps notified,`,
      `${this.#written} rows, ${sum(({ acknowledged }) => acknowledged.length)} broadcasts, ${sum(({ received }) => received.length)} received`,
      ...this.losses.summary,
    ].join('\n')
  }

  async until(read: () => boolean, withinMs: number, what: string): Promise<void> {
    const deadline = performance.now() + withinMs
    while (!read()) {
      if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms: ${what}`)
      await delay(20)
    }
  }

  async stop(): Promise<void> {
    await this.quiet()
    for (const client of this.clients) client.close()
    // A frozen process does not end.
    for (const { process } of this.nodes) process.signal('SIGCONT')
    await this.#sandbox.clear()
    await this.front.close()
    for (const { toNats, toPostgres } of this.nodes) await Promise.all([toNats.close(), toPostgres.close()])
    await this.#sql.end()
    await this.postgres.stop()
    for (const server of this.nats) await server.close()
    await this.route?.close()
    rmSync(this.#base, { recursive: true, force: true })
  }

  async #addNode(name: string, nats: NatsServer): Promise<void> {
    const [port, toNats, toPostgres] = await Promise.all([
      freePort(),
      TcpProxy.start({ port: nats.port }),
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

async function cutFor(way: TcpProxy, ms: number): Promise<void> {
  way.cut()
  await delay(ms)
  way.heal()
}
