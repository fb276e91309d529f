import pg from 'pg'
import { NotYetVisible } from '../../decide/ask-again.ts'
import { OutOfTime } from '../../catalog/database-fault.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { TAKES_NO_WRITES } from '../../replication/replication-fault.ts'
import { isStatementFault } from './statement-fault.ts'

/** Where the database is, and how many sessions it may cost. */
export interface DatabasePoolOptions {
  /** `postgres://…`; never logged. */
  readonly url: string
  readonly maxConnections: number
  /** So many sessions stay open when idle. Default 0. */
  readonly keptOpen?: number
  /** How long to wait for a session, a new or a free one. */
  readonly connectTimeoutMs: number
  /** How long to wait for the answer to a query; the session is given up after it. No limit by default. */
  readonly queryTimeoutMs?: number
  /** Shown in `pg_stat_activity`. Default `tidewire`. */
  readonly applicationName?: string
  /** SQL that prepares a session before its first work. A server that only stands by is refused then. */
  readonly prepare?: string
}

/** Sessions that all have the same settings; opened on demand, closed when idle, and after ten minutes. */
export interface SessionPool extends Queryable {
  /** Runs `work` on a session of its own. One whose work failed halfway is not used again. */
  withSession<T>(work: (session: pg.PoolClient) => Promise<T>): Promise<T>
  hasFree(): boolean
  close(): Promise<void>
}

/** Sessions for questions; opened on demand, closed when idle. */
export type DatabasePool = Omit<SessionPool, 'hasFree'>

/** Does not connect: `query` and `withSession` do, and reject with what Postgres or the network says. */
export function databasePool({ prepare, ...options }: DatabasePoolOptions): SessionPool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections,
    min: options.keptOpen ?? 0,
    // With a session go the functions and statements that it keeps, what policies left in it, and settings that have changed since.
    maxLifetimeSeconds: 600,
    connectionTimeoutMillis: options.connectTimeoutMs,
    query_timeout: options.queryTimeoutMs,
    application_name: options.applicationName ?? 'tidewire',
    keepAlive: true,
    // An idle connection that is cut without a word is found within twenty seconds.
    keepAliveInitialDelayMillis: 10_000,
  })
  // An idle session that breaks is replaced at the next question; without a listener it would end the process.
  pool.on('error', () => {})
  // The pool does not listen while the session is in use, and it may break between two queries.
  pool.on('connect', (session) => session.on('error', () => {}))
  const prepared = new WeakSet<pg.PoolClient>()
  const withSession: SessionPool['withSession'] = async (work) => {
    const session = await connect(pool)
    let isGood = false
    try {
      if (prepare !== undefined && !prepared.has(session)) {
        await prepareSession(session, prepare)
        prepared.add(session)
      }
      const result = await work(session)
      isGood = true
      return result
    } catch (error) {
      isGood = isStatementFault(error) || error instanceof NotYetVisible || error instanceof OutOfTime
      throw error
    } finally {
      session.release(!isGood)
    }
  }
  return {
    query: (text, values) => withSession((session) => session.query(text, values)),
    withSession,
    hasFree: () => pool.idleCount + options.maxConnections - pool.totalCount > pool.waitingCount,
    close: () => pool.end(),
  }
}

/** While the database fails over, its address may lead to a standby: it is waited for as for one that starts. */
async function prepareSession(session: pg.PoolClient, sql: string): Promise<void> {
  const results = (await session.query(`${sql}; select pg_catalog.pg_is_in_recovery() as standby`)) as unknown as pg.QueryResult[]
  if ((results.at(-1)!.rows as { standby: boolean }[])[0]!.standby) throw Object.assign(new Error(TAKES_NO_WRITES), { code: '57P03' })
  // Else a statement that cannot be cancelled would go on without us. Not known to every system that Postgres runs on.
  await session.query(`set client_connection_check_interval = '1s'`).catch((error: unknown) => {
    if (!isStatementFault(error)) throw error
  })
}

async function connect(pool: pg.Pool): Promise<pg.PoolClient> {
  try {
    return await pool.connect()
  } catch (error) {
    // A caller that asks again gets a session of the pool that takes its place.
    if (pool.ending) throw Object.assign(new Error('the sessions were closed'), { code: '57P03' })
    // The pool's message where all sessions stayed busy; a failed connect has another message.
    if (pool.totalCount >= pool.options.max && error instanceof Error && error.message.startsWith('timeout exceeded'))
      throw Object.assign(new Error('no free session'), { code: 'pool-timeout' })
    throw error
  }
}
