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
} from '@tidewire/postgres'
import { startNode, type RunningNode } from '@tidewire/testkit'

const installation = process.env['TIDEWIRE_TEST_POSTGRES']

/** A real server on a real Postgres, put together as the command does it. */
export interface DatabaseNode {
  readonly node: RunningNode
  readonly databaseUrl: string
  /** Runs SQL as the superuser. */
  sql(text: string): Promise<unknown[]>
  stop(): Promise<void>
}

export async function startDatabaseNode(): Promise<DatabaseNode> {
  const base = await mkdtemp(join(tmpdir(), 'tidewire-node-'))
  // Run by root, Postgres has an account of its own, which must get to its folder.
  await chmod(base, 0o755)
  const postgres = await startEmbeddedPostgres({ installation, dataDir: join(base, 'db'), settings: { fsync: 'off' } })
  const pool = databasePool({ url: postgres.url, maxConnections: 4, connectTimeoutMs: 10_000 })
  await pool.withSession(migrate)
  await pool.withSession(makeConvenient)
  let node: RunningNode | null = null
  const feed = openPostgresFeed({
    databaseUrl: postgres.url,
    otherPublications: [{ name: 'tidewire_messages' }],
    onRow: (change) => {
      const message = storedMessage(change)
      if (message !== null) node?.server.publishTrusted(message)
    },
  })
  node = await startNode({
    changeFeed: feed.changeFeed,
    authorizer: policyAuthorizer({ withSession: (work) => pool.withSession(work) }),
    messageStore: databaseMessageStore(pool),
  })
  const started = node
  return {
    node: started,
    databaseUrl: postgres.url,
    sql: async (text) => (await pool.query(text)).rows,
    stop: async () => {
      await started.stop()
      await feed.close()
      await pool.close()
      await postgres.stop()
      await rm(base, { recursive: true, force: true })
    },
  }
}
