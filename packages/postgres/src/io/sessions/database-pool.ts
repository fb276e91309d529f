import type pg from 'pg'
import type { Queryable } from './queryable.ts'
import { sessionPool } from './session-pool.ts'

/** Where the database is, and how many sessions it may cost. */
export interface DatabasePoolOptions {
  /** `postgres://…`; never logged. */
  readonly url: string
  readonly maxConnections: number
  /** How long to wait for a session, a new or a free one. */
  readonly connectTimeoutMs: number
  /** Shown in `pg_stat_activity`. Default `tidewire`. */
  readonly applicationName?: string
}

/** Sessions for questions; opened on demand, closed when idle. */
export interface DatabasePool extends Queryable {
  /** Runs `work` on a session of its own. One whose work failed halfway is not used again. */
  withSession<T>(work: (session: pg.ClientBase) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Does not connect: `query` and `withSession` do, and reject with what Postgres or the network says. */
export function databasePool(options: DatabasePoolOptions): DatabasePool {
  const pool = sessionPool({
    connectionString: options.url,
    max: options.maxConnections,
    connectionTimeoutMillis: options.connectTimeoutMs,
    application_name: options.applicationName ?? 'tidewire',
  })
  return { ...pool, query: (text, values) => pool.withSession((session) => session.query(text, values)) }
}
