import type { Filter, ValueFilter } from '@tidewire/protocol'
import { arrayLiteral, RAISED } from '../../subscribe/request/change-entry.ts'
import type { Refusable } from '../../catalog/catalog-port.ts'
import { groupBy } from '../../catalog/multimap.ts'
import { sqlErrorText } from '../../catalog/sql-error.ts'
import type { CatalogColumn } from '../../catalog/catalog-table.ts'
import { operatorSchema, operatorSql, PATTERNS, SYMBOLS } from './filter-values.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { rolledBack } from '../sessions/rolled-back.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'

export interface FilterCast {
  readonly filter: Filter
  readonly column: CatalogColumn
}

export type CastAnswer = Refusable<readonly (string | null)[]>

/**
 * Refuses filters as the reference does, or answers their values as the column's type writes them. Equal
 * questions share one answer; values of one type are cast together.
 */
export async function castFilters(session: Queryable, asked: readonly FilterCast[]): Promise<CastAnswer[]> {
  const groups = groupBy(asked, ({ filter, column }) => `${filter.op} ${column.typeOid} ${column.baseOid} ${column.typeSql}`)
  const answers = new Map<FilterCast, CastAnswer>()
  for (const group of groups.values()) {
    const alike = [...groupBy(group, ({ filter }) => JSON.stringify(filter.value)).values()]
    const filters = alike.map(([first]) => first!.filter)
    const found = await castGroup(session, filters, group[0]!.column)
    alike.forEach((same, index) => same.forEach((each) => answers.set(each, found[index]!)))
  }
  return asked.map((each) => answers.get(each)!)
}

/** Casts the values of filters of one operator and one column. */
async function castGroup(session: Queryable, filters: readonly Filter[], column: CatalogColumn): Promise<CastAnswer[]> {
  const [first] = filters
  if (first!.op === 'is' || PATTERNS.has(first!.op)) {
    const answers: CastAnswer[] = []
    for (const filter of filters) answers.push(await checkFilter(session, filter, column))
    return answers
  }
  try {
    return (await castValues(session, filters, column)).map((value) => ({ ok: true, value }))
  } catch (error) {
    if (!isStatementFault(error)) throw error
    if (filters.length === 1) return [{ ok: false, text: errorText(error) }]
  }
  // Few values fail, so halves find them fast.
  const middle = filters.length >> 1
  return [...(await castGroup(session, filters.slice(0, middle), column)), ...(await castGroup(session, filters.slice(middle), column))]
}

/** Filters whose values are not cast. */
async function checkFilter(session: Queryable, filter: Filter, column: CatalogColumn): Promise<CastAnswer> {
  if (filter.op === 'is') return isValue(filter.value, column)
  if (!(await takesPatterns(session, filter.op, column)))
    return refused(`operator ${filter.op} requires a text-compatible column type, got ${await typeText(session, column)}`)
  return filter.op === 'match' || filter.op === 'imatch' ? compiled(session, filter) : { ok: true, value: [filter.value as string] }
}

function refused(text: string): Refusable<never> {
  return { ok: false, text: `${RAISED} ${text}` }
}

/** The values are parameters that Postgres reads as the column's type: nothing of them is ever SQL. */
async function castValues(session: Queryable, filters: readonly Filter[], column: CatalogColumn): Promise<(string | null)[][]> {
  const { op } = filters[0]!
  if (op !== 'in') {
    const operator = operatorSql(await operatorSchema(session, SYMBOLS[op]!, column), SYMBOLS[op]!)
    await session.query(`select null::${column.typeSql} ${operator} null::${column.typeSql}`)
  }
  // `format` writes a value as its type does. A cast to text may not (`true` for `t`).
  const values =
    op === 'in'
      ? `(select coalesce(pg_catalog.array_agg(case when v is not null then pg_catalog.format('%s', v) end), '{}')
          from pg_catalog.unnest(f.text::text[]::${column.typeSql}[]) v)`
      : `array[pg_catalog.format('%s', f.text::${column.typeSql})]`
  const { rows } = await session.query(
    `select ${values} as values from pg_catalog.unnest($1::text[]) with ordinality f (text, n) order by f.n`,
    [filters.map(({ value }) => (typeof value === 'string' ? value : arrayLiteral(value)))],
  )
  return (rows as { values: (string | null)[] }[]).map((row) => row.values)
}

function isValue(value: string, column: CatalogColumn): Refusable<readonly string[]> {
  const wanted = value.toLowerCase()
  if (!['null', 'true', 'false', 'unknown'].includes(wanted))
    return refused('invalid value for is filter: must be null, true, false, or unknown')
  if (wanted !== 'null' && column.baseOid !== 16) return refused(`is ${wanted} filter requires a boolean column, got ${column.typeName}`)
  return { ok: true, value: [wanted] }
}

/** A pattern that took longer would keep other patterns waiting, which are compiled one by one. */
const COMPILE_TIMEOUT_MS = 50

async function compiled(session: Queryable, filter: ValueFilter): Promise<CastAnswer> {
  const begin = `begin; set local statement_timeout = ${COMPILE_TIMEOUT_MS}`
  try {
    await rolledBack(session, begin, () => session.query(`select '' ${SYMBOLS[filter.op]} $1::text`, [filter.value]))
    return { ok: true, value: [filter.value] }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    return refused(`invalid regular expression for ${filter.op} filter: ${(error as Error).message}`)
  }
}

async function takesPatterns(session: Queryable, op: Filter['op'], column: CatalogColumn): Promise<boolean> {
  if (column.category === 'S') return true
  return (await operatorSchema(session, SYMBOLS[op]!, column)) !== null
}

async function typeText(session: Queryable, column: CatalogColumn): Promise<string> {
  const { rows } = await session.query('select pg_catalog.format_type($1, null) as text', [column.typeOid])
  return (rows as { text: string }[])[0]!.text
}

function errorText(error: unknown): string {
  const { code = 'XX000', message } = error as { readonly code?: string; readonly message: string }
  return sqlErrorText(code, message)
}
