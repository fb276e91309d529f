import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { migrate, startEmbeddedPostgres } from '@tidewire/postgres'
import pg from 'pg'

/** A Postgres that lasts as long as the benchmark. */
export interface BenchDatabase {
  readonly version: string
  /** A migrated database of its own, with `setup` run on it. Answers its URL. */
  create(setup: string): Promise<string>
  stop(): Promise<void>
}

/** Starts it with the settings of `tidewire dev`: commits wait for the disk. */
export async function startDatabase(): Promise<BenchDatabase> {
  const base = await mkdtemp(join(tmpdir(), 'tidewire-bench-'))
  // As root the server runs under another account, which has to get in.
  await chmod(base, 0o755)
  const server = await startEmbeddedPostgres({ dataDir: join(base, 'db') })
  let databases = 0
  return {
    version: await withClient(server.url, async (client) => {
      const { rows } = await client.query<{ server_version: string }>('show server_version')
      return rows[0]!.server_version
    }),
    create: async (setup) => {
      const name = `bench_${++databases}`
      await withClient(server.url, (client) => client.query(`create database ${name}`))
      const url = server.url.replace(/\/postgres$/, `/${name}`)
      await withClient(url, async (client) => {
        await migrate(client)
        await client.query('grant usage on schema public to anon, authenticated, service_role')
        await client.query(setup)
      })
      return url
    },
    stop: async () => {
      await server.stop()
      await rm(base, { recursive: true, force: true })
    },
  }
}

export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
