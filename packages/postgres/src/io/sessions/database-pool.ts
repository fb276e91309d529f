import pg from 'pg'
import type { Queryable } from './queryable.ts'
import { isStatementFault } from './statement-fault.ts'

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
  /** Runs `work` on a session of its own. One whose work failed half-way is not used again. */
  withSession<T>(work: (session: pg.ClientBase) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Does not connect: `query` and `withSession` do, and reject with what Postgres or the network says. */
export function databasePool(options: DatabasePoolOptions): DatabasePool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections,
    connectionTimeoutMillis: options.connectTimeoutMs,
    application_name: options.applicationName ?? 'tidewire',
  })
  // An idle session that breaks is replaced at the next question; without a listener it would end the process.
  pool.on('error', () => {})
  // The pool does not listen while the session is in use, and it may break between two queries.
  pool.on('connect', (session) => session.on('error', () => {}))
  return {
    query: (text, values) => pool.query(text, values),
    withSession: async (work) => {
      const session = await connect(pool)
      let healthy = false
      try {
        const result = await work(session)
        healthy = true
        return result
      } catch (error) {
        healthy = isStatementFault(error)
        throw error
      } finally {
        session.release(!healthy)
      }
    },
    close: () => pool.end(),
  }
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    // What the pool says to one that waited in its line; of a connection that could not be made it says something else.
    if (pool.totalCount >= pool.options.max && error instanceof Error && error.message.startsWith('timeout exceeded'))
      throw Object.assign(new Error('no free session'), { code: 'pool-timeout' })
    throw error
  }
}
