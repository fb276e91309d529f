import { sessionPool, type SessionPool } from './session-pool.ts'

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
export type DatabasePool = Omit<SessionPool, 'hasFree'>

/** Does not connect: `query` and `withSession` do, and reject with what Postgres or the network says. */
export function databasePool(options: DatabasePoolOptions): DatabasePool {
  return sessionPool({
    connectionString: options.url,
    max: options.maxConnections,
    connectionTimeoutMillis: options.connectTimeoutMs,
    application_name: options.applicationName ?? 'tidewire',
  })
}
