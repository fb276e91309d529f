import type { Filter, ValueFilter } from '@tidewire/protocol'
import type pg from 'pg'
import { arrayLiteral, RAISED } from '../feed/change-entry.ts'
import type { FilterAnswer, FilterCheck, Refusable } from '../feed/feed-database.ts'
import type { EntryColumn } from '../feed/table-entry.ts'
import { conditionName } from '../feed/sql-state.ts'
import { isStatementFault } from './row-checker.ts'

interface Session {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>
}

/** Refuses a filter as the reference does, or answers its values as the column's type writes them. */
export async function castFilter(session: Session, filter: Filter, column: EntryColumn): Promise<Refusable<readonly (string | null)[]>> {
  if (filter.op === 'is') return isValue(filter.value, column)
  if (PATTERNS.has(filter.op) && !(await takesPatterns(session, filter.op, column)))
    return refused(`operator ${filter.op} requires a text-compatible column type, got ${await typeText(session, column)}`)
  if (filter.op === 'match' || filter.op === 'imatch') return compiled(session, filter)
  if (filter.op === 'like' || filter.op === 'ilike') return { ok: true, value: [filter.value] }
  try {
    return { ok: true, value: await castValues(session, filter, column) }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    return { ok: false, text: errorText(error) }
  }
}

const PATTERNS: ReadonlySet<string> = new Set(['like', 'ilike', 'match', 'imatch'])

function refused(text: string): Refusable<never> {
  return { ok: false, text: `${RAISED} ${text}` }
}

async function castValues(session: Session, filter: Filter, column: EntryColumn): Promise<(string | null)[]> {
  if (filter.op !== 'in') {
    // As the type writes it, which a cast to text does not always (`true` for `t`). The value is a parameter that Postgres reads as the column's type: nothing of it is ever SQL.
    const operator = operatorSql(await operatorSchema(session, SYMBOLS[filter.op]!, column), SYMBOLS[filter.op]!)
    await session.query(`select null::${column.typeSql} ${operator} null::${column.typeSql}`)
    return [
      (
        (await session.query(`select pg_catalog.format('%s', $1::text::${column.typeSql}) as value`, [filter.value])).rows as {
          value: string
        }[]
      )[0]!.value,
    ]
  }
  const { rows } = await session.query(
    `select coalesce(pg_catalog.array_agg(case when v is not null then pg_catalog.format('%s', v) end), '{}') as values from pg_catalog.unnest($1::text[]::${column.typeSql}[]) v`,
    [arrayLiteral(filter.value)],
  )
  return (rows as { values: (string | null)[] }[])[0]!.values
}

const SYMBOLS: Partial<Record<Filter['op'], string>> = {
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

function isValue(value: string, column: EntryColumn): Refusable<readonly string[]> {
  const wanted = value.toLowerCase()
  if (!['null', 'true', 'false', 'unknown'].includes(wanted))
    return refused('invalid value for is filter: must be null, true, false, or unknown')
  if (wanted !== 'null' && column.baseOid !== 16) return refused(`is ${wanted} filter requires a boolean column, got ${column.typeName}`)
  return { ok: true, value: [wanted] }
}

async function compiled(session: Session, filter: ValueFilter): Promise<Refusable<readonly (string | null)[]>> {
  try {
    await session.query(`select '' ${SYMBOLS[filter.op]} $1::text`, [filter.value])
    return { ok: true, value: [filter.value] }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    return refused(`invalid regular expression for ${filter.op} filter: ${(error as Error).message}`)
  }
}

async function takesPatterns(session: Session, op: Filter['op'], column: EntryColumn): Promise<boolean> {
  if (column.category === 'S') return true
  return (await operatorSchema(session, SYMBOLS[op]!, column)) !== null
}

async function typeText(session: Session, column: EntryColumn): Promise<string> {
  const { rows } = await session.query('select pg_catalog.format_type($1, null) as text', [column.typeOid])
  return (rows as { text: string }[])[0]!.text
}

/** Where the type's own operator is; `null`: it has none, and uses that of another type, from `pg_catalog`. */
async function operatorSchema(session: Session, symbol: string, column: EntryColumn): Promise<string | null> {
  const { rows } = await session.query(
    `select pg_catalog.quote_ident(n.nspname) as schema from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
     where o.oprname = $1 and o.oprleft = $2 and o.oprresult = 'pg_catalog.bool'::regtype
     order by (o.oprright = $2) desc limit 1`,
    [symbol, column.baseOid],
  )
  return (rows as { schema: string }[])[0]?.schema ?? null
}

function operatorSql(schema: string | null, symbol: string): string {
  return `operator(${schema ?? 'pg_catalog'}.${symbol})`
}

/** Which texts fit which filters; each filter by itself when one of them fails. */
export async function testFilters(session: pg.ClientBase, check: FilterCheck): Promise<readonly FilterAnswer[]> {
  const operator = operatorSql(await operatorSchema(session, SYMBOLS[check.op]!, check.column), SYMBOLS[check.op]!)
  try {
    return await ask(session, check, operator)
  } catch (error) {
    if (!isStatementFault(error)) throw error
    if (check.operands.length === 1) return [{ ok: false, message: (error as Error).message }]
  }
  const answers: FilterAnswer[] = []
  for (const operand of check.operands) answers.push(...(await testFilters(session, { ...check, operands: [operand] })))
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

/** An error of Postgres as the reference prints it. */
export function errorText(error: unknown): string {
  const { code = 'XX000', message } = error as { readonly code?: string; readonly message: string }
  return `ERROR ${code} (${conditionName(code)}) ${message}`
}
