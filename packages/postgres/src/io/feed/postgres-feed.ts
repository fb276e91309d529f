import type { AdminSql, Authorizer, ChangeFeed, Explainer } from '@tidewire/server'
import type { ChangeSource, ChangeSourceStatus } from '../../replication/source/change-source-api.ts'
import { PostgresChangeFeed } from '../../change-feed.ts'
import type { FeedListener } from '../../deliver/fault-report.ts'
import { DEFAULT_TUNING, type FeedTuning } from '../../feed-options.ts'
import type { RowChange } from '../../replication/transaction-assembler.ts'
import { adminSql } from '../embedded/admin-sql.ts'
import { postgresExplainer } from '../explain/explainer.ts'
import { feedDatabase, rowChecks } from './feed-database.ts'
import { nodeRuntime } from '../node-runtime.ts'
import { openFeedSessions, type FeedSessions, type SessionsWhenOpen } from '../sessions/feed-sessions.ts'
import { openChangeSource } from '../replication/open-change-source.ts'
import type { OpenChangeSourceOptions } from '../replication/replication-target.ts'
import type { PublicationSpec } from '../replication/publication.ts'

type SourceOptions = 'temporarySlot' | 'node' | 'siblings' | 'checkIntervalMs' | 'advanceIntervalMs' | 'prepare' | 'onNotice'

/** Where the changes come from, how long they are kept to be resumed, and how much the database is asked. */
export interface PostgresFeedOptions
  extends Partial<FeedTuning>, Pick<FeedListener, 'onFault'>, Pick<OpenChangeSourceOptions, SourceOptions> {
  /** `postgres://…`, straight to Postgres and not to a pooler. The role needs REPLICATION. Never logged. */
  readonly databaseUrl: string
  /** Tables in it are what clients may ask for; made when missing. Default `supabase_realtime`. */
  readonly publication?: string
  /** More publications to read, for rows that are not for clients: `onRow` gets them. */
  readonly otherPublications?: readonly PublicationSpec[]
  /** The slots' names begin with this. Default `tidewire`. */
  readonly slotBase?: string
  /** API roles that the checks take, beside `anon`, `authenticated` and `service_role`. */
  readonly roles?: readonly string[]
  /** Sessions that look rows up. Default 3. */
  readonly checkers?: number
  /** How long the policies of a table may take for one identity, in milliseconds. Default 1,000, at most 4,000. */
  readonly identityTimeoutMs?: number
  /** Rows of `realtime.messages` that were written since this node connected, in their place among the others. `log` names the log that they stand in. */
  readonly onRow?: (change: RowChange, log: string | null) => void
  readonly onStatus?: (status: ChangeSourceStatus) => void
}

/** Row changes for a server, and what else it asks of the same database. */
export interface PostgresFeed {
  readonly changeFeed: ChangeFeed
  /** Where the changes come from: its status, its lag. */
  readonly source: ChangeSource
  /** Explains why an identity does or does not get something; `authorizer` is the one that decides private channels. */
  explainer(authorizer: Authorizer): Explainer
  /** Runs SQL for an inspector, as a login that is not a superuser. */
  readonly sql: AdminSql
  /** Ends all sessions. The anchor slot stays. */
  close(): Promise<void>
}

/**
 * Row changes out of Postgres, ready for a server. Does not wait for the database: while there is none, channels are
 * notified, and they are subscribed as soon as there is.
 */
export function openPostgresFeed(options: PostgresFeedOptions): PostgresFeed {
  const publication = options.publication ?? 'supabase_realtime'
  const roles = ['anon', 'authenticated', 'service_role', ...(options.roles ?? [])]
  const sessions = lazily(() => openFeedSessions(options.databaseUrl, options.checkers ?? 3, roles))
  const identityTimeoutMs = Math.min(options.identityTimeoutMs ?? 1_000, MAX_IDENTITY_TIMEOUT_MS)
  const database = feedDatabase(sessions.get, publication, identityTimeoutMs)
  const checks = rowChecks(sessions.get, 'isolated', { timeoutMs: identityTimeoutMs, isolates: true, leavesNothing: true })
  const tuning = { ...DEFAULT_TUNING, ...options }
  const feed = new PostgresChangeFeed(database, nodeRuntime, {
    ...tuning,
    onRow: (change) => {
      // Earlier rows only fill the resume window: they were due before this node started.
      if (change.transaction.commitLsn >= source.liveFrom) options.onRow?.(change, source.log)
    },
  })
  const source: ChangeSource = openChangeSource({
    ...options,
    connection: options.databaseUrl,
    slot: options.slotBase,
    publications: [{ name: publication }, ...(options.otherPublications ?? [])],
    windowBytes: tuning.maxWalBytes,
    handlers: {
      onChanges: (changes) => feed.onChanges(changes),
      onEpoch: (event) => {
        // Open sessions may still lead to the former primary.
        if (event.isOtherLog) void sessions.close()
        feed.onEpoch(event)
      },
      onTableGap: (gap) => feed.onTableGap(gap),
      onPeers: (peers) => {
        if (peers.length === 0 || tuning.hasRelay) return
        options.onNotice?.(
          `Other servers read the changes of this database (${peers.join(', ')}), and no relay is configured: broadcasts and presence do not reach their clients`,
        )
      },
      onProgress: (lsn) => feed.onProgress(lsn),
      onStatus: (status) => {
        feed.onStatus(status)
        options.onStatus?.(status)
      },
    },
  })
  feed.attach(source)
  return {
    changeFeed: feed,
    source,
    explainer: (authorizer) => postgresExplainer({ sessions: sessions.get, database: database.catalog, checks, publication }, authorizer),
    sql: adminSql(sessions.get),
    close: async () => {
      feed.close()
      await source.close()
      await sessions.close()
    },
  }
}

/** Less than a session waits for an answer before it is given up. */
const MAX_IDENTITY_TIMEOUT_MS = 4_000

/** Opened at the first question; after a failure, at the next one. */
function lazily(open: SessionsWhenOpen): { readonly get: SessionsWhenOpen; close(): Promise<void> } {
  let sessions: Promise<FeedSessions> | null = null
  return {
    get: () => {
      if (sessions === null) {
        sessions = open()
        sessions.catch(() => (sessions = null))
      }
      return sessions
    },
    close: async () => {
      const opening = sessions
      sessions = null
      const opened = await opening?.catch(() => null)
      await opened?.close()
    },
  }
}
