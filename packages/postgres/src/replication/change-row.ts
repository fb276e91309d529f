import { Tuple } from './pgoutput/tuple.ts'
import type { LogPosition } from './position.ts'
import type { Column, Table } from './table.ts'
import type { RowChange } from './transaction-assembler.ts'

/** A row's texts by column name; `undefined`: not known. */
export type ColumnText = (column: string) => string | null | undefined

/** Texts of a row's columns, in the order of the columns that they go with; `undefined`: not known. */
export type RowTexts = readonly (string | null | undefined)[]

/** Its log position. */
export function logPositionOf({ transaction, seq }: RowChange): LogPosition {
  return { commitLsn: transaction.commitLsn, seq }
}

const columnsByName = new WeakMap<Table, Map<string, Column>>()

function columnOf(table: Table, name: string): Column | undefined {
  let columns = columnsByName.get(table)
  if (columns === undefined) {
    columns = new Map(table.columns.map((column) => [column.name, column]))
    columnsByName.set(table, columns)
  }
  return columns.get(name)
}

export interface FilterView {
  /** It is found out whether a deleted row was visible to the subscriber. */
  readonly asked?: boolean
  /** Of the table, by the catalog: the stream may not say so yet. */
  readonly rowSecurity: boolean
}

/**
 * What filters may look at: the new row, or, of a deleted one, the columns of the replica identity — under row level
 * security only the primary key, so that no subscriber can probe the rest of a row that is not theirs (rule D11), unless it
 * is `asked` whether the row was theirs (rule D14).
 */
export function filterText(change: RowChange, { asked = false, rowSecurity }: FilterView): ColumnText {
  const { table, newTuple, old } = change
  if (newTuple === null) {
    const known = (rowSecurity || table.rowSecurity) && !asked ? table.primaryKey : table.columns.filter((column) => column.identity)
    return (name) => {
      const column = columnOf(table, name)
      return column === undefined || column.tupleIndex === null || !known.includes(column) ? undefined : old?.tuple.text(column.tupleIndex)
    }
  }
  const full = old?.extent === 'full' ? old.tuple : null
  return (name) => {
    const at = columnOf(table, name)?.tupleIndex
    if (at === undefined || at === null) return undefined
    const text = newTuple.text(at)
    return text === undefined ? full?.text(at) : text
  }
}

/** The primary key's texts, of the new row or of the deleted one; `null` when it has none or they are not known. */
export function primaryKeyTexts({ table, newTuple, old }: RowChange): readonly string[] | null {
  const tuple = newTuple ?? old?.tuple ?? null
  if (tuple === null || table.primaryKey.length === 0) return null
  const texts: string[] = []
  for (const column of table.primaryKey) {
    const text = column.tupleIndex === null ? null : tuple.text(column.tupleIndex)
    if (typeof text !== 'string') return null
    texts.push(text)
  }
  return texts
}

/**
 * A deleted row as the text of a value of its table's row type; `null` when not all of these columns are known, save for
 * generated ones, which follow from the others.
 */
export function oldRowText({ table, old }: RowChange, names: readonly string[]): string | null {
  if (old?.extent !== 'full') return null
  const texts: (string | null)[] = []
  for (const name of names) {
    const column = columnOf(table, name)
    const at = column?.tupleIndex ?? null
    const text = at === null ? undefined : old.tuple.text(at)
    if (text === undefined && column?.generated !== true) return null
    texts.push(text ?? null)
  }
  return rowText(texts)
}

/** A row as the text of a value of its table's row type. What is not known is null. */
export function rowText(texts: readonly (string | null | undefined)[]): string {
  return `(${texts.map((text) => (typeof text === 'string' ? `"${text.replace(/["\\]/g, '\\$&')}"` : '')).join(',')})`
}

/** The columns that the table still has, in their order. */
export function presentColumns({ columns }: Table): readonly Column[] {
  return columns.filter(({ number }) => number > 0)
}

/** Their texts in the row as it is after the change, or in all of it as it was; `undefined` what the log does not hold. */
export function rowTexts(change: RowChange, row: 'record' | 'old'): readonly (string | null | undefined)[] | null {
  const { table, newTuple, old } = change
  const full = old?.extent === 'full' ? old.tuple : null
  const tuple = row === 'record' ? newTuple : full
  if (tuple === null) return null
  return presentColumns(table).map(({ tupleIndex }) => {
    if (tupleIndex === null) return undefined
    const text = tuple.text(tupleIndex)
    return text === undefined ? full?.text(tupleIndex) : text
  })
}

/** The columns that the stream carries, by `attnum`. */
export function publishedColumns(table: Table): readonly number[] {
  return presentColumns(table).flatMap(({ number, tupleIndex }) => (tupleIndex === null ? [] : [number]))
}

const indexes = new WeakMap<Table, ReadonlyMap<number, number | null>>()

/** What the change wrote to these columns. */
export function imageOf({ table, newTuple, old }: RowChange, columns: readonly number[]): RowTexts {
  let byNumber = indexes.get(table)
  if (byNumber === undefined) indexes.set(table, (byNumber = new Map(table.columns.map(({ number, tupleIndex }) => [number, tupleIndex]))))
  const full = old?.extent === 'full' ? old.tuple : null
  return columns.map((number) => {
    const at = byNumber.get(number) ?? null
    if (at === null) return undefined
    const text = newTuple?.text(at)
    return text === undefined ? full?.text(at) : text
  })
}

/** The change, had it written this. */
export function withRow(change: RowChange, columns: readonly number[], texts: RowTexts): RowChange {
  const values: (string | null | undefined)[] = Array.from({ length: change.newTuple?.length ?? 0 })
  for (const { number, tupleIndex } of change.table.columns) {
    if (tupleIndex !== null && number > 0) values[tupleIndex] = texts[columns.indexOf(number)]
  }
  return { ...change, newTuple: Tuple.of(values) }
}
