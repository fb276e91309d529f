import pg from 'pg'
import { isStatementFault } from '../sessions/statement-fault.ts'

export interface Evaluation {
  /** Of whoever is told the result: functions that somebody has made may be part of it. */
  readonly role: string
  readonly timeoutMs: number
  /** Answers one row for each of the texts `$1`, in their order. */
  readonly sql: string
  readonly texts: readonly string[]
}

/** By text, the row that Postgres answers; `null` where it refuses: one text that fails is to hold nobody up. */
export async function evaluated<Row extends pg.QueryResultRow>(session: pg.ClientBase, evaluation: Evaluation): Promise<(Row | null)[]> {
  const { role, timeoutMs, sql, texts } = evaluation
  if (texts.length === 0) return []
  try {
    await session.query(
      `begin read only; set local statement_timeout = ${Math.ceil(timeoutMs)}; select pg_catalog.set_config('role', ${pg.escapeLiteral(role)}, true)`,
    )
    return (await session.query<Row>(sql, [texts])).rows
  } catch (error) {
    if (!isStatementFault(error)) throw error
    if (texts.length === 1 || error.code === TOO_LONG || error.code === NOT_PERMITTED) return texts.map(() => null)
  } finally {
    await session.query('rollback')
  }
  const rows: (Row | null)[] = []
  for (const text of texts) rows.push(...(await evaluated<Row>(session, { ...evaluation, texts: [text] })))
  return rows
}

/** All of them would. */
const [TOO_LONG, NOT_PERMITTED] = ['57014', '42501']
