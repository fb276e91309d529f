import { randomUUID } from 'node:crypto'
import type { AdminPorts, Server, StartOptions } from '@tidewire/server'
import { failed, reasonOf, type Failure } from './failure.ts'

/** What a database adds to a server. */
export interface Database {
  readonly ports: Pick<StartOptions, 'authorizer' | 'messageStore' | 'changeFeed'>
  /** What the inspector may ask of it; `sql` only where it is the project's own. */
  readonly adminPorts: Pick<AdminPorts, 'explainer' | 'sql'>
  /** What was changed in the database to make it ready, by name. */
  readonly migrated: readonly string[]
  /** From here on, messages that SQL sends go to the topics of this server. */
  deliverTo(server: Server): void
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly url: string
  /** Sessions that may be open at once. */
  readonly poolSize: number
  /** The database is the one that `tidewire dev` runs itself: new tables are published and opened to the API roles. */
  readonly isOurs?: boolean
  /** Leave nothing behind in the database but what the migrations made: its changes cannot be resumed after a restart. */
  readonly temporarySlot?: boolean
}

const CONNECT_TIMEOUT_MS = 5_000

/** Connects to a Postgres and brings what Tidewire keeps in it up to date. Throws a Failure. */
export async function openDatabase({ url, poolSize, isOurs = false, temporarySlot = false }: DatabaseOptions): Promise<Database> {
  const { databaseMessageStore, databasePool, makeConvenient, migrate, openPostgresFeed, policyAuthorizer, storedMessage } =
    await import('@tidewire/postgres')
  const pool = databasePool({ url, maxConnections: poolSize, connectTimeoutMs: CONNECT_TIMEOUT_MS })
  try {
    const { applied } = await pool.withSession(migrate)
    if (isOurs) await pool.withSession(makeConvenient)
    let server: Server | null = null
    const feed = openPostgresFeed({
      databaseUrl: url,
      temporarySlot,
      otherPublications: [MESSAGES],
      onRow: (change) => {
        const message = storedMessage(change)
        if (message !== null) server?.publishTrusted(message)
      },
    })
    const authorizer = policyAuthorizer({ withSession: (work) => pool.withSession(work), uuid: randomUUID })
    return {
      ports: {
        authorizer,
        messageStore: databaseMessageStore(pool),
        changeFeed: feed.changeFeed,
      },
      adminPorts: { explainer: feed.explainer(authorizer), sql: feed.sql },
      migrated: applied,
      deliverTo: (running) => void (server = running),
      close: async () => {
        await feed.close()
        await pool.close()
      },
    }
  } catch (error) {
    await pool.close()
    throw unusable(url, error)
  }
}

/** Brings a database up to date, and no more. Returns what was done, by name. Throws a Failure. */
export async function migrateDatabase(url: string): Promise<readonly string[]> {
  const { databasePool, migrate } = await import('@tidewire/postgres')
  const pool = databasePool({ url, maxConnections: 1, connectTimeoutMs: CONNECT_TIMEOUT_MS })
  try {
    return (await pool.withSession(migrate)).applied
  } catch (error) {
    throw unusable(url, error)
  } finally {
    await pool.close()
  }
}

/** The publication of messages from SQL, should somebody have dropped it. */
const MESSAGES = {
  name: 'tidewire_messages',
  tables: [{ schema: 'realtime', name: 'messages' }],
  actions: ['insert'],
  viaRoot: true,
} as const

function unusable(url: string, error: unknown): Failure {
  return failed(
    `Cannot use the database ${placeOf(url)}: ${sentenceOf(error)}. Check its URL, and that the user may create schemas.`,
    error,
  )
}

/** Host and name; a URL holds a password besides. */
export function placeOf(url: string): string {
  const { host, pathname } = new URL(url)
  return `${host}${pathname}`
}

function sentenceOf(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  return message === '' ? reasonOf(error) : message
}
