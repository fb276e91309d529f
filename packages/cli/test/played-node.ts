import { freePort, TcpProxy } from '@tidewire/testkit'
import type { CliProcess, CliSandbox } from './cli-process.ts'

export const SECRET = 'a-secret-that-is-only-for-these-tests'

/** It starts while a thousand clients come back to the others. */
const START_WITHIN_MS = 60_000

const unlimited = {
  ...Object.fromEntries(
    ['CONCURRENT_USERS', 'CHANNELS_PER_CLIENT', 'JOINS_PER_SECOND', 'EVENTS_PER_SECOND'].map((name) => [`TENANT_MAX_${name}`, 'unlimited']),
  ),
  CLIENT_PRESENCE_MAX_CALLS: 'unlimited',
}

/** The services that a node uses, and its idle timeout. */
export interface PlayedNodeOptions {
  readonly sandbox: CliSandbox
  readonly natsPort: number
  readonly postgresUrl: string
  /** Default: as the server has it. */
  readonly idleTimeoutMs?: number
}

/** From a start of a node to its end: over as soon as it is killed or drained. */
export interface NodeLife {
  readonly isOver: boolean
}

/** One `tidewire start`, with ways of its own to NATS and Postgres. It keeps its port when it is started again. */
export class PlayedNode {
  readonly name: string
  readonly port: number
  readonly toNats: TcpProxy
  readonly toPostgres: TcpProxy
  /** When it was frozen or cut off from the others last. */
  lastApartAt = -Infinity
  readonly #sandbox: CliSandbox
  readonly #env: Readonly<Record<string, string>>
  #process: CliProcess | null = null
  #life = { isOver: true }

  private constructor(
    name: string,
    port: number,
    toNats: TcpProxy,
    toPostgres: TcpProxy,
    { sandbox, postgresUrl, idleTimeoutMs }: PlayedNodeOptions,
  ) {
    this.name = name
    this.port = port
    this.toNats = toNats
    this.toPostgres = toPostgres
    this.#sandbox = sandbox
    const url = new URL(postgresUrl)
    url.port = String(toPostgres.port)
    this.#env = {
      ...unlimited,
      ...{ PORT: String(port), HOST: '127.0.0.1', API_JWT_SECRET: SECRET, DATABASE_URL: url.href },
      ...{ TIDEWIRE_NATS_URL: `nats://127.0.0.1:${toNats.port}`, TIDEWIRE_NODE_NAME: name },
      ...(idleTimeoutMs !== undefined && { TIDEWIRE_IDLE_TIMEOUT_MS: String(idleTimeoutMs) }),
    }
  }

  static async start(name: string, options: PlayedNodeOptions): Promise<PlayedNode> {
    const { natsPort, postgresUrl } = options
    const [port, toNats, toPostgres] = await Promise.all([
      freePort(),
      TcpProxy.start({ port: natsPort }),
      TcpProxy.start({ port: Number(new URL(postgresUrl).port) }),
    ])
    const node = new PlayedNode(name, port, toNats, toPostgres, options)
    await node.start()
    return node
  }

  get life(): NodeLife {
    return this.#life
  }

  /** Until it takes clients, and is one of the cluster. */
  async start(): Promise<void> {
    const server = this.#sandbox.start(['start'], { env: this.#env })
    this.#process = server
    this.#life = { isOver: false }
    await server.line((line) => line.includes('listening on '), START_WITHIN_MS)
    await server.line((line) => line.includes('connected to the other nodes'))
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.signal(signal)
  }

  async kill(): Promise<void> {
    this.#life.isOver = true
    await this.#process?.kill()
  }

  async drain(): Promise<void> {
    this.#life.isOver = true
    await this.#process?.stop('SIGTERM')
  }

  async closeWays(): Promise<void> {
    await Promise.all([this.toNats.close(), this.toPostgres.close()])
  }
}
