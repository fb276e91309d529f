import { isTimeout, OutOfTime } from '../../catalog/database-fault.ts'
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
  return askInHalves(session, check, operator, options)
}

async function askInHalves(
  session: pg.ClientBase,
  check: FilterCheck,
  operator: string,
  { isolates, until }: FilterOptions,
): Promise<FilterAnswer[]> {
  const failed = (message: string, timedOut: boolean): FilterAnswer[] => check.operands.map(() => ({ ok: false, message, timedOut }))
  if (performance.now() > until) return failed(new OutOfTime().message, true)
  try {
    return await ask(session, check, operator)
  } catch (error) {
    if (!isStatementFault(error)) throw error
    const timedOut = isTimeout(error)
    if (timedOut && isolates && check.operands.length > 1) return askBriefly(session, check, operator, until)
    if (timedOut || check.operands.length === 1) return failed(error.message, timedOut)
  }
  const answers: FilterAnswer[] = []
  for (const operands of halvesOf(check.operands))
    answers.push(...(await askInHalves(session, { ...check, operands }, operator, { isolates, until })))
  return answers
}

/** For the filters that are asked briefly, together and each: fast filters do not wait for slow ones, and others wait for the session. */
const BRIEFLY_MS = 1_000
const MIN_BRIEFLY_MS = 10

/** Asks each filter alone. One that takes long counts as timed out: decided together with other work, it is asked again with more time. */
async function askBriefly(session: pg.ClientBase, check: FilterCheck, operator: string, until: number): Promise<FilterAnswer[]> {
  const answers: FilterAnswer[] = []
  const endsAt = Math.min(until, performance.now() + BRIEFLY_MS)
  const begin = `begin; set local statement_timeout = ${Math.max(MIN_BRIEFLY_MS, Math.floor(BRIEFLY_MS / check.operands.length))}`
  for (const values of check.operands) {
    if (performance.now() > endsAt) {
      answers.push({ ok: false, message: new OutOfTime().message, timedOut: true })
      continue
    }
    const asked = rolledBack(session, begin, () => ask(session, { ...check, operands: [values] }, operator))
    const [answer] = await asked.catch((error: unknown): FilterAnswer[] => [failedAnswer(error)])
    answers.push(answer!)
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
