import type { DatabasePool, PostgresFeedOptions, Queryable } from '@tidewire/postgres'
import type { AdminPorts, Server, SlotSize, StartOptions } from '@tidewire/server'
import { databaseId } from './database-id.ts'
import { Failure, failed, reasonOf } from './failure.ts'
import { slotSizes } from './slot-sizes.ts'

/** The database of a server. */
export interface Database {
  readonly ports: Pick<StartOptions, 'authorizer' | 'messageStore' | 'changeFeed'>
  /** Ports of the inspector; `sql` only where the database is the project's own. */
  readonly adminPorts: Pick<AdminPorts, 'explainer' | 'sql'>
  /** Names of the migrations that were applied; `null`: the database does not answer yet. */
  readonly migrated: readonly string[] | null
  /** The bytes of write-ahead log that its replication slots keep, for metrics. Never rejects. */
  readonly slots: () => Promise<readonly SlotSize[]>
  /** Identifies the database among all others. Waits until it answers; rejects when it is closed first. */
  id(): Promise<string>
  /** From now on, publishes messages that SQL sends on this server. */
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
  /** Shown in the names of replication slots, and to other nodes. Default: the host's name and the process id. */
  readonly node?: string
  /** Whether broadcasts and presence reach the other nodes of this database. Default false. */
  readonly hasRelay?: boolean
  /** Names of nodes that are processes of this server, and reached without a relay to all. */
  readonly siblings?: readonly string[]
  /** Is called with a sentence about the replication slots, for the operator. */
  readonly onNotice?: (sentence: string) => unknown
  /** Is called with faults of row changes, for logs. */
  readonly onFault?: PostgresFeedOptions['onFault']
  /** Throws a Failure where the database must not be used. */
  readonly guard?: (session: Queryable) => Promise<void>
  /** Is called when a database that did not answer at first is ready. `migrated`: names of the migrations that were applied. */
  readonly onReady?: (migrated: readonly string[]) => void
  /** Is called with a sentence while the database is not ready, when the reason changes. */
  readonly onWaiting?: (sentence: string) => unknown
}

const CONNECT_TIMEOUT_MS = 5_000

/**
 * Connects to a Postgres and brings what Tidewire keeps in it up to date. One that does not answer is tried again until it
 * does; meanwhile private channels and Postgres changes are refused, with the reason. Throws a Failure for one that answers
 * and cannot be used.
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { url, poolSize, isOurs = false, temporarySlot = false } = options
  const { databaseMessageStore, databasePool, isUnavailable, makeConvenient, migrate, openPostgresFeed, policyAuthorizer, storedMessage } =
    await import('@tidewire/postgres')
  const pool = databasePool({ url, maxConnections: poolSize, connectTimeoutMs: CONNECT_TIMEOUT_MS })
  let migrated: readonly string[] | null = null
  const prepare = async (): Promise<readonly string[]> => {
    await options.guard?.(pool)
    const { applied } = await pool.withSession(migrate)
    if (isOurs) await pool.withSession(makeConvenient)
    return (migrated = applied)
  }
  let why = ''
  const wait = (error: unknown): void => {
    const sentence = error instanceof Failure ? error.message : waitingFor(url, error)
    if (sentence !== why) options.onWaiting?.((why = sentence))
  }
  try {
    await prepare()
  } catch (error) {
    if (!isUnavailable(error)) {
      await pool.close()
      throw error instanceof Failure ? error : unusable(url, error)
    }
    wait(error)
  }
  let server: Server | null = null
  let last = ''
  const notice = (sentence: string): void => {
    if (sentence !== last) options.onNotice?.((last = sentence))
  }
  const feed = openPostgresFeed({
    databaseUrl: url,
    temporarySlot,
    ...(options.node === undefined ? {} : { node: options.node }),
    hasRelay: options.hasRelay ?? false,
    siblings: options.siblings ?? [],
    onNotice: (sentence) => void options.onNotice?.(sentence),
    ...(options.onFault === undefined ? {} : { onFault: options.onFault }),
    onStatus: (status) => {
      if (status.kind === 'waiting') notice(`Row changes stand still: ${status.fault.message}`)
    },
    otherPublications: [MESSAGES],
    prepare: async () => {
      if (migrated !== null) return
      try {
        const applied = await prepare()
        options.onReady?.(applied)
      } catch (error) {
        wait(error)
        throw error
      }
    },
    onRow: (change, log) => {
      const message = storedMessage(change, log)
      if (message !== null) server?.publishTrusted(message)
    },
  })
  // The tables of policies and messages may not exist before.
  const sessions: Pick<DatabasePool, 'query' | 'withSession'> = {
    query: (text, values) => (migrated === null ? Promise.reject(notReady()) : pool.query(text, values)),
    withSession: (work) => (migrated === null ? Promise.reject(notReady()) : pool.withSession(work)),
  }
  const closing = new AbortController()
  const authorizer = policyAuthorizer({ withSession: (work) => sessions.withSession(work), sessions: poolSize })
  return {
    ports: {
      authorizer,
      messageStore: databaseMessageStore(sessions),
      changeFeed: feed.changeFeed,
    },
    adminPorts: { explainer: feed.explainer(authorizer), sql: feed.sql },
    migrated,
    slots: slotSizes(pool),
    id: () => databaseId(pool, closing.signal),
    deliverTo: (running) => void (server = running),
    close: async () => {
      closing.abort()
      await feed.close()
      await pool.close()
    },
  }
}

function waitingFor(url: string, error: unknown): string {
  if ((error as { readonly code?: unknown }).code === '25006')
    return `The database ${placeOf(url)} takes no writes: it is a standby that is not promoted yet, or read-only. Give the URL of the primary`
  return `The database ${placeOf(url)} does not answer: ${sentenceOf(error)}`
}

function notReady(): Error {
  return Object.assign(new Error('the database does not answer yet'), { code: 'ECONNREFUSED' })
}

/** Applies the migrations, and no more. Returns their names. Throws a Failure. */
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

/** The publication of messages from SQL. Recreated where it was dropped. */
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

/** Host and name of a database URL, without its password. */
export function placeOf(url: string): string {
  const { host, pathname } = new URL(url)
  return `${host}${pathname}`
}

function sentenceOf(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  return message === '' ? reasonOf(error) : message
}
