import { createHmac, randomBytes } from 'node:crypto'
import pg from 'pg'
import { codeOf } from '../../catalog/database-fault.ts'
import { SESSION_SQL } from '../replication/replication-connection.ts'
import { newClient } from './client.ts'
import { databasePool, type DatabasePoolOptions, type SessionPool } from './session-pool.ts'

/** The login whose sessions look rows up. It owns nothing, is not a superuser and inherits nothing. */
const CHECKER = 'tidewire_checker'

/** How long a statement of a check may take. What takes longer on the ordered path is asked again in isolation. */
export const ORDERED_TIMEOUT_MS = 500

const CHECKER_SQL = `${SESSION_SQL}; set statement_timeout = ${ORDERED_TIMEOUT_MS}; set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set synchronous_commit = off;
set default_transaction_read_only = off; set row_security = on; set application_name = 'tidewire check'`

const CATALOG_SQL = `${SESSION_SQL}; set statement_timeout = '30s'; set application_name = 'tidewire catalog'`

/** How many sessions slow policies and filters may occupy, in all. */
const ISOLATED_SESSIONS = 2

export interface FeedSessions {
  /** The main login, to read the catalog. */
  readonly catalog: SessionPool
  /** Looks rows up in the name of others. */
  readonly checker: SessionPool
  /** The same for what may take long: no policy on the ordered path waits for these sessions. */
  readonly isolated: SessionPool
  /** `postgres://…` of the login of these two; `null`: none of its own could be had, and the main login takes the roles. */
  readonly checkerUrl: string | null
  close(): Promise<void>
}

/** The sessions, once there is a database. */
export type SessionsWhenOpen = () => Promise<FeedSessions>

/** How long to wait for a session, and for a connection that hangs: longer than any statement may take. */
type Options = Pick<DatabasePoolOptions, 'connectTimeoutMs' | 'queryTimeoutMs' | 'keptOpen'>

const CONNECT_TIMEOUT_MS = 10_000
const CATALOG_OPTIONS: Options = { connectTimeoutMs: CONNECT_TIMEOUT_MS, queryTimeoutMs: 32_000 }
const CHECKER_OPTIONS: Options = { connectTimeoutMs: 5_000, queryTimeoutMs: 5_000 }

/** Opens so many checkers, which may take these API roles as far as they exist. Rejects when there is no database. */
export async function openFeedSessions(url: string, checkers: number, roles: readonly string[]): Promise<FeedSessions> {
  const open = (address: string, maxConnections: number, prepare: string, options: Options): SessionPool =>
    databasePool({ url: address, maxConnections, ...options, prepare })
  const catalog = open(url, 2, CATALOG_SQL, CATALOG_OPTIONS)
  try {
    const checkerUrl = await checkerLogin(catalog, url, roles)
    // One keeps its functions and plans: a change that comes alone does not wait for a new session.
    const checker = open(checkerUrl ?? url, checkers, CHECKER_SQL, { ...CHECKER_OPTIONS, keptOpen: 1 })
    const isolated = open(checkerUrl ?? url, ISOLATED_SESSIONS, CHECKER_SQL, CHECKER_OPTIONS)
    return {
      catalog,
      checker,
      isolated,
      checkerUrl,
      close: async () => {
        await Promise.all([catalog.close(), checker.close(), isolated.close()])
      },
    }
  } catch (error) {
    await catalog.close()
    throw error
  }
}

/**
 * Makes the login where that is permitted, and answers how it connects; `null` where it is not. Its password follows from the
 * main one, so that all servers of a database agree on it without keeping it anywhere.
 */
async function checkerLogin(catalog: SessionPool, main: string, roles: readonly string[]): Promise<string | null> {
  const url = new URL(main)
  const password = createHmac('sha256', url.password === '' ? randomBytes(32) : decodeURIComponent(url.password))
    .update(CHECKER)
    .digest('base64url')
  url.username = CHECKER
  url.password = password
  try {
    await catalog.withSession((session) => prepareLogin(session, password, roles, false))
    if (await canLogIn(url.href)) return url.href
    await catalog.withSession((session) => prepareLogin(session, password, roles, true))
    return (await canLogIn(url.href)) ? url.href : null
  } catch (error) {
    // Not permitted here. Anything else, such as a lost connection, is thrown.
    if (/^(42|0L|28|0A)/.test(codeOf(error))) return null
    throw error
  }
}

async function prepareLogin(catalog: pg.ClientBase, password: string, roles: readonly string[], resets: boolean): Promise<void> {
  const attributes = `login noinherit nosuperuser nocreatedb nocreaterole noreplication password ${pg.escapeLiteral(password)}`
  const { rows } = await catalog.query<{ exists: boolean; unsafe: boolean }>(
    'select true as exists, rolsuper or rolinherit or rolbypassrls as unsafe from pg_catalog.pg_roles where rolname = $1',
    [CHECKER],
  )
  if (rows[0]?.unsafe === true) throw Object.assign(new Error(`the role ${CHECKER} has rights that it must not have`), { code: '42501' })
  if (rows[0] === undefined) await ignoring(catalog.query(`create role ${CHECKER} ${attributes}`), '42710', '23505')
  else if (resets) await catalog.query(`alter role ${CHECKER} ${attributes}`)
  const missing = await catalog.query<{ name: string }>(
    `select rolname as name from pg_catalog.pg_roles where rolname = any($1) and not rolsuper and not pg_catalog.pg_has_role($2, oid, 'MEMBER')`,
    [roles, CHECKER],
  )
  for (const { name } of missing.rows) await ignoring(catalog.query(`grant ${pg.escapeIdentifier(name)} to ${CHECKER}`), '23505', 'XX000')
}

/** Another server did the same at the same time. */
async function ignoring(query: Promise<unknown>, ...codes: readonly string[]): Promise<void> {
  try {
    await query
  } catch (error) {
    if (!codes.includes(codeOf(error))) throw error
  }
}

async function canLogIn(connectionString: string): Promise<boolean> {
  const client = newClient({ connectionString, connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
  try {
    await client.connect()
    return true
  } catch (error) {
    if (/^(28|42)/.test(codeOf(error))) return false
    throw error
  } finally {
    await client.end().catch(() => {})
  }
}
