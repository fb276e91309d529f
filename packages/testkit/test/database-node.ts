import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  databaseMessageStore,
  databasePool,
  makeConvenient,
  migrate,
  openPostgresFeed,
  policyAuthorizer,
  startEmbeddedPostgres,
  storedMessage,
  type PostgresFeed,
} from '@tidewire/postgres'
import type { StartOptions } from '@tidewire/server'
import { startNode, type RunningNode } from '@tidewire/testkit'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']

/** A server, and where it reads row changes and messages from SQL. */
export interface NodeOnDatabase extends RunningNode {
  readonly feed: PostgresFeed
}

/** A real Postgres, prepared as the command does it. */
export interface TestDatabase {
  readonly url: string
  /** Runs SQL as the superuser. */
  sql(text: string): Promise<unknown[]>
  /** A real server on it. It does not stop with the database. `name`: among others that it reaches by a relay. */
  node(options?: Partial<StartOptions>, name?: string): Promise<NodeOnDatabase>
  stop(): Promise<void>
}

/** A real server on a real Postgres, put together as the command does it. */
export interface DatabaseNode {
  readonly node: RunningNode
  readonly databaseUrl: string
  /** Runs SQL as the superuser. */
  sql(text: string): Promise<unknown[]>
  stop(): Promise<void>
}

export async function startDatabase(): Promise<TestDatabase> {
  const base = await mkdtemp(join(tmpdir(), 'tidewire-node-'))
  // Run by root, Postgres has an account of its own, which must get to its folder.
  await chmod(base, 0o755)
  const postgres = await startEmbeddedPostgres({ installation, dataDir: join(base, 'db'), settings: { fsync: 'off' } })
  const pool = databasePool({ url: postgres.url, maxConnections: 4, connectTimeoutMs: 10_000 })
  await pool.withSession(migrate)
  await pool.withSession(makeConvenient)
  return {
    url: postgres.url,
    sql: async (text) => (await pool.query(text)).rows,
    async node(options = {}, name) {
      let node: RunningNode | null = null
      const feed = openPostgresFeed({
        databaseUrl: postgres.url,
        otherPublications: [{ name: 'tidewire_messages' }],
        ...(name === undefined ? {} : { node: name, hasRelay: true }),
        onRow: (change, log) => {
          const message = storedMessage(change, log)
          if (message !== null) node?.server.publishTrusted(message)
        },
      })
      node = await startNode({
        changeFeed: feed.changeFeed,
        authorizer: policyAuthorizer({ withSession: (work) => pool.withSession(work) }),
        messageStore: databaseMessageStore(pool),
        ...options,
      })
      const started = node
      const stop = async (): Promise<void> => {
        await started.stop()
        await feed.close()
      }
      return { ...started, feed, stop }
    },
    stop: async () => {
      await pool.close()
      await postgres.stop()
      await rm(base, { recursive: true, force: true })
    },
  }
}

export async function startDatabaseNode(): Promise<DatabaseNode> {
  const database = await startDatabase()
  const node = await database.node()
  return {
    node,
    databaseUrl: database.url,
    sql: (text) => database.sql(text),
    stop: async () => {
      await node.stop()
      await database.stop()
    },
  }
}
