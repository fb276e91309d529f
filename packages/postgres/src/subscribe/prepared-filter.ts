import type { Filter } from '@tidewire/protocol'
import type { CatalogColumn, CatalogTable } from '../catalog/catalog-table.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { ColumnText } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'

/**
 * A filter with its values as the database wrote them after casting them to the column's type. Where comparing those
 * texts is provably what SQL does, `test` decides; everything else Postgres decides.
 */
export interface PreparedFilter {
  readonly filter: Filter
  readonly column: CatalogColumn
  /** The value, or the values of `in`, as the type writes them. */
  readonly values: readonly (string | null)[]
  readonly test: ColumnTest | null
}

/** What the filter gives for a column's text, in SQL's three values; null is SQL null. */
type ColumnTest = (text: string | null) => boolean | null

const BOOL = 16
const INTEGERS = new Set([20, 21, 23])
/** Types whose values are equal exactly when they are written alike: bytea, date, timestamp, timestamptz, uuid, and those above. */
const WRITTEN_ALIKE = new Set([BOOL, ...INTEGERS, 17, 1082, 1114, 1184, 2950])
const TEXTS = new Set([25, 1043])

export function prepareFilter(filter: Filter, column: CatalogColumn, values: readonly (string | null)[]): PreparedFilter {
  return { filter, column, values, test: columnTest(filter, column, values) }
}

/**
 * Whether the filter is true for a row. `null`: only Postgres can say, since texts do not decide it, the value has another type
 * than the filter was prepared for, or the text is no value of the type.
 */
export function verdictOf({ test, column }: PreparedFilter, table: Table, text: ColumnText): boolean | null {
  const value = text(column.name)
  if (value === undefined) return false
  if (test === null) return null
  const written = getOrMake(types, table, () => new Map(table.columns.map(({ name, typeOid }) => [name, typeOid]))).get(column.name)
  if (written !== undefined && written !== column.typeOid) return null
  try {
    return test(value) === true
  } catch {
    return null
  }
}

const types = new WeakMap<Table, ReadonlyMap<string, number>>()

export function fits(filters: readonly PreparedFilter[], { columns }: Pick<CatalogTable, 'columns'>): boolean {
  return filters.every(({ column: before }) => {
    const now = columns.find(({ name }) => name === before.name)
    return (
      now !== undefined &&
      now.typeOid === before.typeOid &&
      now.baseOid === before.baseOid &&
      now.typeSql === before.typeSql &&
      now.collation === before.collation &&
      now.deterministic === before.deterministic
    )
  })
}

/** Whether equal values of the column have equal texts and the other way round. */
export function isWrittenAlike(column: CatalogColumn): boolean {
  return WRITTEN_ALIKE.has(column.baseOid) || (TEXTS.has(column.baseOid) && column.deterministic) || column.isEnum
}

function columnTest(filter: Filter, column: CatalogColumn, values: readonly (string | null)[]): ColumnTest | null {
  if (filter.op === 'is') return isTest(filter.value.toLowerCase(), filter.negate)
  const test = plainTest(filter, column, values)
  if (test === null || !filter.negate) return test
  return (text) => {
    const result = test(text)
    return result === null ? null : !result
  }
}

function plainTest({ op }: Filter, column: CatalogColumn, values: readonly (string | null)[]): ColumnTest | null {
  const value = values[0] ?? null
  if (op === 'in') return isWrittenAlike(column) ? inTest(values) : null
  if (value === null) return null
  if (isWrittenAlike(column)) {
    if (op === 'eq') return (text) => (text === null ? null : text === value)
    if (op === 'neq') return (text) => (text === null ? null : text !== value)
    if (op === 'isdistinct') return (text) => text !== value
  }
  return INTEGERS.has(column.baseOid) ? orderTest(op, BigInt(value)) : null
}

function inTest(values: readonly (string | null)[]): ColumnTest {
  const set = new Set(values)
  const otherwise = set.has(null) ? null : false
  return (text) => {
    if (text === null) return values.length === 0 ? false : null
    return set.has(text) ? true : otherwise
  }
}

function orderTest(op: Filter['op'], value: bigint): ColumnTest | null {
  const compare = ORDERS[op]
  return compare === undefined ? null : (text) => (text === null ? null : compare(BigInt(text), value))
}

const ORDERS: Partial<Record<Filter['op'], (one: bigint, other: bigint) => boolean>> = {
  lt: (one, other) => one < other,
  lte: (one, other) => one <= other,
  gt: (one, other) => one > other,
  gte: (one, other) => one >= other,
}

/** Two-valued, negated or not. */
function isTest(value: string, negate: boolean): ColumnTest {
  const wanted = value === 'true' ? 't' : value === 'false' ? 'f' : null
  return negate ? (text) => text !== wanted : (text) => text === wanted
}

/** The values under which the filter can be looked up in a hash; `null` when it cannot. */
export function lookupValues({ filter, values, test }: PreparedFilter): readonly string[] | null {
  if (test === null || filter.negate || (filter.op !== 'eq' && filter.op !== 'in')) return null
  return [...new Set(values)].filter((value) => value !== null)
}
