import type pg from 'pg'
import { isTimeout } from '../../catalog/database-fault.ts'
import { halvesOf } from '../../catalog/halves.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import type { CheckOptions } from './identity-answers.ts'
import { beginAs } from '../sessions/as-identity.ts'

/** How long one statement may take, and all of them. */
export type StatementTime = Pick<CheckOptions, 'timeoutMs' | 'until'>

export interface Evaluation extends StatementTime {
  /** The role of a subscriber that gets the result: functions that users have written may be called. */
  readonly role: string
  /** Answers one row for each of the texts `$1`, in their order. */
  readonly sql: string
  readonly texts: readonly string[]
}

/** By text, the row that Postgres answers; `null` where it fails, or time is up. A text that fails leaves the others their rows. */
export async function evaluated<Row extends pg.QueryResultRow>(session: pg.ClientBase, evaluation: Evaluation): Promise<(Row | null)[]> {
  const { role, timeoutMs, until, sql, texts } = evaluation
  if (texts.length === 0) return []
  try {
    await session.query(beginAs({ role, settings: {} }, timeoutMs, 'read only'))
    return (await session.query<Row>(sql, [texts])).rows
  } catch (error) {
    if (!isStatementFault(error)) throw error
    // A lack of time, of resources or of a privilege (42501) is not the fault of one text.
    if (texts.length === 1 || isTimeout(error) || error.code === '42501') return texts.map(() => null)
  } finally {
    await session.query('rollback')
  }
  const rows: (Row | null)[] = []
  for (const half of halvesOf(texts))
    rows.push(...(performance.now() > until ? half.map(() => null) : await evaluated<Row>(session, { ...evaluation, texts: half })))
  return rows
}
