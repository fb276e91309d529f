import { createHmac, randomBytes } from 'node:crypto'
import pg from 'pg'
import { codeOf } from '../../catalog/database-fault.ts'
import { SESSION_SQL } from '../replication/replication-connection.ts'
import { newClient } from './client.ts'
import { sessionPool, type SessionPool } from './session-pool.ts'

/** The login whose sessions look rows up. It owns nothing, is no superuser and inherits nothing. */
const CHECKER = 'tidewire_checker'

/** How long a statement of a check may take. On the ordered path, what takes longer is asked again apart from it. */
export const ORDERED_TIMEOUT_MS = 500

const CHECKER_SQL = `${SESSION_SQL}; set statement_timeout = ${ORDERED_TIMEOUT_MS}; set plan_cache_mode = force_generic_plan; set jit = off; set enable_seqscan = off; set synchronous_commit = off;
set default_transaction_read_only = off; set row_security = on; set application_name = 'tidewire check'`

/** How many sessions slow policies and filters may occupy, in all. */
const APART_SESSIONS = 2

export interface FeedSessions {
  /** The main login, to read the catalog. */
  readonly catalog: SessionPool
  /** Looks rows up in the name of others. */
  readonly checker: SessionPool
  /** The same for what may take long: nothing on the ordered path waits for these sessions. */
  readonly apart: SessionPool
  /** How the login of these two connects; `null`: none of its own could be had, and the main login takes the roles. */
  readonly checkerLogin: pg.ClientConfig | null
  close(): Promise<void>
}

/** The sessions, once there is a database. */
export type SessionsWhenOpen = () => Promise<FeedSessions>

/** A connection that hangs: longer than any statement may take. */
const QUERY_TIMEOUT_MS = 32_000

export interface FeedSessionsOptions {
  readonly connection: pg.ClientConfig
  readonly checkers: number
  /** The API roles that the checker may take. Those that do not exist are left out. */
  readonly roles: readonly string[]
  readonly connectTimeoutMs: number
}

/** Rejects when there is no database. */
export async function openFeedSessions(options: FeedSessionsOptions): Promise<FeedSessions> {
  const { connection, checkers, connectTimeoutMs } = options
  const open = (login: pg.ClientConfig, max: number, prepare: string): SessionPool =>
    sessionPool({
      ...connection,
      ...login,
      max,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      query_timeout: QUERY_TIMEOUT_MS,
      prepare,
    })
  const catalog = open({ application_name: 'tidewire catalog' }, 2, `${SESSION_SQL}; set statement_timeout = '30s'`)
  try {
    const login = await checkerLogin(catalog, options)
    const checker = open(login ?? {}, checkers, CHECKER_SQL)
    const apart = open(login ?? {}, APART_SESSIONS, CHECKER_SQL)
    return {
      catalog,
      checker,
      apart,
      checkerLogin: login === null ? null : { ...connection, ...login },
      close: async () => {
        await Promise.all([catalog.close(), checker.close(), apart.close()])
      },
    }
  } catch (error) {
    await catalog.close()
    throw error
  }
}

interface Login {
  readonly user: string
  readonly password: string
  readonly connectionString?: string
}

/**
 * Makes the login where that is permitted; `null` where it is not. Its password follows from the main one, so that all
 * servers of a database agree on it without keeping it anywhere.
 */
async function checkerLogin(catalog: SessionPool, { connection, roles, connectTimeoutMs }: FeedSessionsOptions): Promise<Login | null> {
  const main = mainLogin(connection)
  const password = createHmac('sha256', main.password === '' ? randomBytes(32) : main.password)
    .update(CHECKER)
    .digest('base64url')
  const login: Login = {
    user: CHECKER,
    password,
    ...(main.url === null ? {} : { connectionString: withLogin(main.url, CHECKER, password) }),
  }
  try {
    await catalog.withSession((session) => prepareLogin(session, password, roles, false))
    if (await canLogIn({ ...connection, ...login }, connectTimeoutMs)) return login
    await catalog.withSession((session) => prepareLogin(session, password, roles, true))
    return (await canLogIn({ ...connection, ...login }, connectTimeoutMs)) ? login : null
  } catch (error) {
    // Not permitted here. Anything else, such as a lost connection, is thrown.
    if (/^(42|0L|28|0A)/.test(codeOf(error))) return null
    throw error
  }
}

function mainLogin(connection: pg.ClientConfig): { readonly url: string | null; readonly password: string } {
  const url = connection.connectionString ?? null
  const password = typeof connection.password === 'string' ? connection.password : ''
  return { url, password: url === null || password !== '' ? password : decodeURIComponent(new URL(url).password) }
}

function withLogin(url: string, user: string, password: string): string {
  const changed = new URL(url)
  changed.username = user
  changed.password = password
  return changed.href
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

async function canLogIn(config: pg.ClientConfig, connectTimeoutMs: number): Promise<boolean> {
  const client = newClient({ ...config, connectionTimeoutMillis: connectTimeoutMs })
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
