import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { TcpProxy } from '../../testkit/src/sockets/tcp-proxy.ts'
import { startEmbeddedPostgres } from '../src/io/embedded/embedded-postgres.ts'
import type { EmbeddedPostgres } from '../src/io/embedded/running-server.ts'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']

/** A Postgres for the tests of one file. */
export interface TestPostgres {
  readonly server: EmbeddedPostgres
  /** Major version: 18, or that of the project that runs the test. */
  readonly version: number
  /** A session as superuser; ended after the last test. */
  readonly admin: pg.Client
  /** Stops the server and starts it again on the same data and port. */
  restart(): Promise<void>
  /** Makes an empty database and answers its URL. */
  createDatabase(): Promise<string>
  /** A way to a database that can be cut or made silent, until the end of the test, and its URL. */
  proxied(url: string): Promise<{ readonly proxy: TcpProxy; readonly through: string }>
  /** A session that may be cut. */
  connect(url: string): Promise<pg.Client>
}

/** Starts a Postgres before the first test of the file and stops it after the last. */
export function usePostgres(settings: Readonly<Record<string, string>> = {}): TestPostgres {
  let base: string
  let server: EmbeddedPostgres
  let admin: pg.Client
  let version: number
  let databases = 0
  // Nothing here has to survive a power cut.
  const all = { fsync: 'off', full_page_writes: 'off', ...settings }

  const connect = async (): Promise<void> => {
    admin = new pg.Client({ connectionString: server.url })
    admin.on('error', () => {})
    await admin.connect()
  }

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'tidewire-test-'))
    await chmod(base, 0o755)
    server = await startEmbeddedPostgres({ installation, dataDir: join(base, 'db'), settings: all })
    await connect()
    const { rows } = await admin.query<{ number: string }>(`select current_setting('server_version_num') as number`)
    version = Math.trunc(Number(rows[0]!.number) / 10_000)
  })

  afterAll(async () => {
    await admin.end()
    await server.stop()
    await rm(base, { recursive: true, force: true })
  })

  return {
    get server() {
      return server
    },
    get version() {
      return version
    },
    get admin() {
      return admin
    },
    restart: async () => {
      const { port, dataDir } = server
      await admin.end()
      await server.stop()
      server = await startEmbeddedPostgres({ installation, dataDir, port, settings: all })
      await connect()
    },
    connect: async (connectionString) => {
      const client = new pg.Client({ connectionString })
      client.on('error', () => {})
      await client.connect()
      return client
    },
    proxied: async (url) => {
      const proxy = await TcpProxy.start({ port: server.port })
      onTestFinished(() => proxy.close())
      return { proxy, through: url.replace(`:${server.port}/`, `:${proxy.port}/`) }
    },
    createDatabase: async () => {
      const name = `test_${++databases}`
      await admin.query(`create database ${name}`)
      return server.url.replace(/\/postgres$/, `/${name}`)
    },
  }
}
