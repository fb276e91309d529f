import type { Authorization, AuthorizationRequest, Authorizer } from '@tidewire/server'
import { databaseReason } from '../database-reason.ts'

/** One transaction at a time on a session of its own; `pg` pools give it. */
export interface ProbeSession {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/** What the authorizer asks the database with. */
export interface AuthorizerOptions {
  /** Runs `work` on a session that nobody else uses meanwhile; rejects when none can be had. */
  withSession<T>(work: (session: ProbeSession) => Promise<T>): Promise<T>
  /** A random UUID. */
  readonly uuid: () => string
}

const EXTENSIONS = ['broadcast', 'presence'] as const

/**
 * Decides private channels by the policies on `realtime.messages`: a row per extension is tried as the role of the token,
 * and rolled back. Selecting it is the right to receive, inserting it the right to send. Nothing is kept between two
 * questions, so a policy that changes counts from the next one on.
 */
export function policyAuthorizer(options: AuthorizerOptions): Authorizer {
  return {
    read: (request) => decide(options, request, readable),
    write: (request) => decide(options, request, writable),
  }
}

type Allowed = { readonly broadcast: boolean; readonly presence: boolean; readonly detail?: string }
type Probe = (session: ProbeSession, request: AuthorizationRequest, uuid: () => string) => Promise<Allowed>

const NOTHING: Allowed = { broadcast: false, presence: false }

async function decide(options: AuthorizerOptions, request: AuthorizationRequest, probe: Probe): Promise<Authorization> {
  try {
    return await options.withSession(async (session) => {
      const refused = await refusedRole(session, request.identity.role)
      if (refused !== null) return { ok: true, ...NOTHING, detail: refused }
      await session.query("begin; set local statement_timeout = '5s'")
      try {
        return { ok: true, ...(await probe(session, request, options.uuid)) }
      } finally {
        await session.query('rollback')
      }
    })
  } catch (error) {
    const code = sqlState(error)
    if (code === null || !isPolicyFault(code)) return { ok: false, reason: databaseReason(error) }
    // A policy that raises for this user says no to this user (rule A6).
    return { ok: true, ...NOTHING, detail: `a policy on realtime.messages failed: ${(error as Error).message}` }
  }
}

/**
 * Roles that a token must not take: `none` would be the server's own, and a superuser or the login itself sees what no
 * policy shows.
 */
async function refusedRole(session: ProbeSession, role: string): Promise<string | null> {
  const { rows } = await session.query(
    "select rolsuper or rolname = session_user as refused from pg_roles where rolname = $1 and rolname <> 'none'",
    [role],
  )
  const found = (rows as { refused: boolean }[])[0]
  if (found === undefined) return `there is no role ${JSON.stringify(role)}`
  return found.refused ? `tokens may not take the role ${JSON.stringify(role)}` : null
}

async function readable(session: ProbeSession, request: AuthorizationRequest, uuid: () => string): Promise<Allowed> {
  const ids = EXTENSIONS.map(() => uuid())
  await session.query(
    'insert into realtime.messages (id, topic, extension, private) select * from unnest($1::uuid[], array[$2, $2]::text[], $3::text[], array[true, true])',
    [ids, request.subTopic, [...EXTENSIONS]],
  )
  await become(session, request)
  const { rows } = await session.query('select id from realtime.messages where id = any($1::uuid[])', [ids])
  const seen = new Set((rows as { id: string }[]).map(({ id }) => id))
  return told({ broadcast: seen.has(ids[0]!), presence: seen.has(ids[1]!) }, 'SELECT', request)
}

async function writable(session: ProbeSession, request: AuthorizationRequest, uuid: () => string): Promise<Allowed> {
  await become(session, request)
  const allowed: Record<string, boolean> = {}
  for (const extension of EXTENSIONS) {
    await session.query('savepoint probe')
    try {
      await session.query('insert into realtime.messages (id, topic, extension, private) values ($1, $2, $3, true)', [
        uuid(),
        request.subTopic,
        extension,
      ])
      allowed[extension] = true
    } catch (error) {
      if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
      allowed[extension] = false
    }
    await session.query('rollback to savepoint probe')
  }
  return told({ broadcast: allowed['broadcast']!, presence: allowed['presence']! }, 'INSERT', request)
}

/** From here to the end of the transaction everything runs as whoever asks. The role comes last: it may not set the rest. */
async function become(session: ProbeSession, { identity, subTopic }: AuthorizationRequest): Promise<void> {
  const claims = JSON.stringify(identity.claims)
  const sub = identity.claims['sub']
  await session.query(
    `select set_config('realtime.topic', $1, true), set_config('request.jwt.claims', $2, true),
       set_config('request.jwt.claim.sub', $3, true), set_config('request.jwt.claim.role', $4, true),
       set_config('request.headers', $5, true)`,
    [subTopic, claims, typeof sub === 'string' ? sub : '', identity.role, JSON.stringify(identity.headers)],
  )
  await session.query("select set_config('role', $1, true)", [identity.role])
}

function told(allowed: Allowed, command: 'SELECT' | 'INSERT', { identity, subTopic }: AuthorizationRequest): Allowed {
  const missing = EXTENSIONS.filter((extension) => !allowed[extension])
  if (missing.length === 0) return allowed
  const detail = `no ${command} policy on realtime.messages lets ${identity.role} use ${missing.join(' and ')} on topic ${JSON.stringify(subTopic)}`
  return { ...allowed, detail }
}

const INSUFFICIENT_PRIVILEGE = '42501'

function sqlState(error: unknown): string | null {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : null
}

/**
 * Whether the fault lies in what the policies ran into with this user, and not in the database: connections (08),
 * resources (53), operators (57), the system (58), internal faults (XX) and a missing partition (23514) are the database.
 */
function isPolicyFault(code: string): boolean {
  return !/^(08|53|57|58|XX)/.test(code) && code !== '23514'
}
