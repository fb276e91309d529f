import pg from 'pg'
import { getOrMake } from '../../catalog/multimap.ts'
import type { IdentityAnswer, RowCheck } from '../../decide/feed-database.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { beginAs } from '../sessions/as-identity.ts'
import { checkStatement, type CheckFunction } from './check-function.ts'
import { askInHalves, eachInTurn, failedAnswer, type CheckStrategy, type CheckOptions } from './identity-answers.ts'
import { discardOldPlans, distrustPlans } from './kept-plans.ts'
import { RowList, type RowImages } from './seen-versions.ts'
import { isCurrent } from './version-checker.ts'
import { transactionsVisible } from './visibility.ts'

/** The statements that a session has prepared. They go with it. */
const prepared = new WeakMap<pg.ClientBase, Set<string>>()

/**
 * Where no function may be made (CREATE TEMP refused, plpgsql taken away), a statement is prepared instead, and executed once
 * per identity in a transaction of its own. One round trip for each identity.
 */
export function statementStrategy(session: pg.ClientBase, check: RowCheck, images: RowImages, options: CheckOptions): CheckStrategy {
  const statement = checkStatement(check.table, check.role, check.columns, images.masked)
  return async (asked) => {
    await transactionsVisible(session, check)
    const before = await isCurrent(session, check)
    const refusal = await prepare(session, statement, check)
    await discardOldPlans(session, statement.name, check)
    const identities = await eachInTurn(asked, options, async ({ identity, list: all }) => {
      if (refusal !== null) return refusal
      return askInHalves(all.rows, options.until, async (rows) => {
        const list = rows === all.rows ? all : new RowList(check, images, rows)
        try {
          const parameters = [images.masked ? list.missing : '{}', ...list.keys].map((text) => pg.escapeLiteral(text)).join(', ')
          const call = `${statement.name}(${parameters})`
          const found = await execute(session, { role: check.role, claims: identity.claims, call, timeoutMs: options.timeoutMs })
          return { ok: true, visible: new Map(found.flatMap((seen) => list.read(seen, new Map()))) }
        } catch (error) {
          return failedAnswer(error)
        }
      })
    })
    const current = before && (await isCurrent(session, check))
    if (!current) distrustPlans(session, statement.name)
    return { current, identities }
  }
}

/** Prepares the statement as the role. Returns the refusal where the role may not name the table. */
async function prepare(session: pg.ClientBase, { name, sql }: CheckFunction, { role, table }: RowCheck): Promise<IdentityAnswer | null> {
  const names = getOrMake(prepared, session, () => new Set<string>())
  if (names.has(name)) return null
  await session.query(`begin; select pg_catalog.set_config('role', ${pg.escapeLiteral(role)}, true)`)
  try {
    await session.query(`prepare ${name} ${sql}`)
  } catch (error) {
    return failedAnswer(error)
  } finally {
    await session.query('rollback')
  }
  names.add(name)
  // Planned without an identity, for the same reason as the check function.
  const nothing = table.primaryKey.map(() => `'{}'`).join(', ')
  await execute(session, { role, claims: '{}', call: `${name}('{}', ${nothing})`, timeoutMs: 3_000 }).catch(failedAnswer)
  return null
}

interface Call {
  readonly role: string
  readonly claims: string
  readonly call: string
  readonly timeoutMs: number
}

/** The rows of the statement, as {@link RowList} reads them. */
async function execute(session: pg.ClientBase, { role, claims, call, timeoutMs }: Call): Promise<string[]> {
  const begin = beginAs({ role, settings: { 'request.jwt.claims': claims } }, timeoutMs, 'read write')
  try {
    const results = (await session.query(`${begin}; execute ${call}; rollback`)) as unknown as pg.QueryResult<{ seen: string }>[]
    return results.at(-2)!.rows.map(({ seen }) => seen)
  } catch (error) {
    if (isStatementFault(error)) await session.query('rollback')
    throw error
  }
}
