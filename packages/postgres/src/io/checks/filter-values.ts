import { isTimeout } from '../../catalog/database-fault.ts'
import { halvesOf } from '../../catalog/halves.ts'
import type { Filter } from '@tidewire/protocol'
import type pg from 'pg'
import { arrayLiteral } from '../../subscribe/request/change-entry.ts'
import type { FilterAnswer, FilterCheck } from '../../decide/feed-database.ts'
import type { CatalogColumn } from '../../catalog/catalog-table.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { assertTime, failedAnswer, type CheckOptions } from './identity-answers.ts'
import { rolledBack } from '../sessions/rolled-back.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'

export const PATTERNS: ReadonlySet<string> = new Set(['like', 'ilike', 'match', 'imatch'])

export const SYMBOLS: Partial<Record<Filter['op'], string>> = {
  eq: '=',
  neq: '<>',
  lt: '<',
  lte: '<=',
  gt: '>',
  gte: '>=',
  in: '=',
  isdistinct: '=',
  like: '~~',
  ilike: '~~*',
  match: '~',
  imatch: '~*',
}

/** Where the type's own operator is; `null`: it has none, and uses that of another type, from `pg_catalog`. */
export async function operatorSchema(session: Queryable, symbol: string, column: CatalogColumn): Promise<string | null> {
  const { rows } = await session.query(
    `select pg_catalog.quote_ident(n.nspname) as schema from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
     where o.oprname = $1 and o.oprleft = $2 and o.oprresult = 'pg_catalog.bool'::regtype
     order by (o.oprright = $2) desc limit 1`,
    [symbol, column.baseOid],
  )
  return (rows as { schema: string }[])[0]?.schema ?? null
}

export function operatorSql(schema: string | null, symbol: string): string {
  return `operator(${schema ?? 'pg_catalog'}.${symbol})`
}

type FilterOptions = Pick<CheckOptions, 'isolates' | 'until'>

/** Which texts fit which filters. One that fails, or takes long in isolation, leaves the others their answers. */
export async function testFilters(session: pg.ClientBase, check: FilterCheck, options: FilterOptions): Promise<readonly FilterAnswer[]> {
  assertTime(options.until)
  const operator = operatorSql(await operatorSchema(session, SYMBOLS[check.op]!, check.column), SYMBOLS[check.op]!)
  try {
    return await ask(session, check, operator)
  } catch (error) {
    if (!isStatementFault(error)) throw error
    const timedOut = isTimeout(error)
    if (check.operands.length === 1) return [{ ok: false, message: error.message, timedOut }]
    if (timedOut && options.isolates) return askBriefly(session, check, operator, { message: error.message, until: options.until })
    if (timedOut) return check.operands.map(() => ({ ok: false, message: error.message, timedOut }))
  }
  const answers: FilterAnswer[] = []
  for (const operands of halvesOf(check.operands)) answers.push(...(await testFilters(session, { ...check, operands }, options)))
  return answers
}

/** Short, so that fast filters do not wait for slow ones. */
const BRIEF_MS = 50

/**
 * Asks each filter alone, for a moment. One that takes longer counts as timed out. Where it was decided together with other work, it is
 * asked again alone, with more time.
 */
async function askBriefly(
  session: pg.ClientBase,
  check: FilterCheck,
  operator: string,
  { message, until }: { readonly message: string; readonly until: number },
): Promise<FilterAnswer[]> {
  const answers: FilterAnswer[] = []
  for (const values of check.operands) {
    if (performance.now() > until) answers.push({ ok: false, message, timedOut: true })
    else {
      const begin = `begin; set local statement_timeout = ${BRIEF_MS}`
      const asked = rolledBack(session, begin, () => ask(session, { ...check, operands: [values] }, operator))
      const [answer] = await asked.catch((error: unknown): FilterAnswer[] => [failedAnswer(error)])
      answers.push(answer!)
    }
  }
  return answers
}

async function ask(session: pg.ClientBase, check: FilterCheck, operator: string): Promise<FilterAnswer[]> {
  const { column, op, negate, operands, texts } = check
  const pattern = PATTERNS.has(op)
  const list = op === 'in'
  const value = `v.text::${column.typeSql}${column.collation === null ? '' : ` collate ${column.collation}`}`
  const operand = pattern ? 'f.text' : `f.text::${column.typeSql}${list ? '[]' : ''}`
  const plain =
    op === 'isdistinct'
      ? distinctSql(value, operand, operator)
      : list
        ? `${value} ${operator} any(${operand})`
        : `${value} ${operator} ${operand}`
  const { rows } = await session.query<{ f: number; matches: number[] }>(
    `select f.n::int4 as f, pg_catalog.array_agg(v.n::int4) as matches
     from pg_catalog.unnest($1::text[]) with ordinality f (text, n), pg_catalog.unnest($2::text[]) with ordinality v (text, n)
     where ${negate ? 'not ' : ''}(${plain}) group by f.n`,
    [operands.map((values) => (list ? arrayLiteral(values) : values[0]!)), texts],
  )
  const answers = operands.map((): { ok: true; matches: ReadonlySet<number> } => ({ ok: true, matches: new Set() }))
  for (const { f, matches } of rows) answers[f - 1] = { ok: true, matches: new Set(matches.map((n) => n - 1)) }
  return answers
}

/** IS DISTINCT FROM by an operator of choice. */
function distinctSql(one: string, other: string, operator: string): string {
  return `coalesce(not (${one} ${operator} ${other}), (${one} is null) <> (${other} is null))`
}
