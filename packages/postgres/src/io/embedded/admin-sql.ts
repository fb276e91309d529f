import type { AdminSqlResult } from '@tidewire/protocol'
import type { AdminSql } from '@tidewire/server'
import pg from 'pg'
import { dropClient, newClient } from '../sessions/client.ts'
import type { SessionsWhenOpen } from '../sessions/feed-sessions.ts'

const MAX_ROWS = 500
const MAX_VALUE_CHARS = 10_000
const MAX_CHARS = 1_000_000
const STATEMENT_TIMEOUT_MS = 5_000
/** A statement may set another timeout; the session ends all the same. */
const DEADLINE_MS = 10_000
/** The role of the project's own services: it sees and writes all rows of `public`, and owns nothing. */
const ROLE = 'service_role'

/** Runs SQL as `service_role`, on a session of its own. Its login is not a superuser and cannot become one. */
export function adminSql(sessions: SessionsWhenOpen): AdminSql {
  return {
    run: async (sql) => {
      try {
        const { checkerUrl } = await sessions()
        if (checkerUrl === null) return { ok: false, reason: 'SqlOff: no non-superuser login is available' }
        return await run(newClient({ connectionString: checkerUrl, application_name: 'tidewire inspector' }), sql)
      } catch (error) {
        return { ok: false, reason: `SqlRefused: ${error instanceof Error ? error.message : 'the database does not answer'}` }
      }
    },
  }
}

type Outcome = Awaited<ReturnType<AdminSql['run']>>

async function run(session: pg.Client, sql: string): Promise<Outcome> {
  let late = false
  const deadline = setTimeout(() => {
    late = true
    // The backend notices that no client listens any more.
    dropClient(session)
  }, DEADLINE_MS)
  try {
    await session.connect()
    await session.query(
      `set statement_timeout = ${STATEMENT_TIMEOUT_MS}; set lock_timeout = ${STATEMENT_TIMEOUT_MS}; set client_connection_check_interval = 1000; set role ${ROLE}`,
    )
    const startedAt = performance.now()
    const result = await collect(session, sql)
    return { ok: true, result: { ...result, tookMs: Math.round((performance.now() - startedAt) * 10) / 10 } }
  } catch (error) {
    if (late) return { ok: false, reason: `SqlRefused: it took longer than ${DEADLINE_MS / 1000} seconds` }
    throw error
  } finally {
    clearTimeout(deadline)
    // One that was cut off cannot be ended politely.
    if (!late) await session.end().catch(() => {})
  }
}

interface Described {
  readonly fields: readonly { readonly name: string }[]
  readonly command: string | null
}

/** The rows of the last statement, as far as they are shown; the others are counted and dropped as they come. */
function collect(session: pg.Client, sql: string): Promise<Omit<AdminSqlResult, 'tookMs'>> {
  return new Promise((resolve, reject) => {
    let of: object | undefined
    let rows: (string | null)[][] = []
    let seen = 0
    let left = MAX_CHARS
    const query = session.query(
      new pg.Query({ text: sql, rowMode: 'array', types: { getTypeParser: () => (text: string) => text } } as never),
    )
    query.on('row', (row: unknown, result?: object) => {
      if (result !== of) {
        of = result
        rows = []
        seen = 0
        left = MAX_CHARS
      }
      seen++
      if (rows.length >= MAX_ROWS || left <= 0) return
      const shown = (row as (string | null)[]).map((value) => (value === null ? null : value.slice(0, MAX_VALUE_CHARS)))
      for (const value of shown) left -= value?.length ?? 0
      rows.push(shown)
    })
    query.on('end', (ended: unknown) => {
      const last = (Array.isArray(ended) ? ended.at(-1) : ended) as Described
      const isOfLast = of === undefined || of === last
      resolve({
        columns: (last.fields ?? []).map(({ name }) => name),
        rows: isOfLast ? rows : [],
        moreRows: isOfLast ? seen - rows.length : 0,
        command: last.command ?? '',
      })
    })
    query.on('error', reject)
  })
}
