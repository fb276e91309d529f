import { getOrMake } from '../catalog/multimap.ts'
import { Tuple } from './pgoutput/tuple.ts'
import type { LogPosition } from './position.ts'
import type { Column, Table } from './table.ts'
import type { RowChange } from './transaction-assembler.ts'

/** A row's texts by column name; `undefined`: not known. */
export type ColumnText = (column: string) => string | null | undefined

/** Texts of a row's columns, in the order of the columns that they go with; `undefined`: not known. */
export type RowTexts = readonly (string | null | undefined)[]

export function logPositionOf({ transaction, seq }: RowChange): LogPosition {
  return { commitLsn: transaction.commitLsn, seq }
}

/** Bytes of its tuples, on the wire and in memory. */
export function tupleBytes({ newTuple, old }: RowChange): number {
  return (newTuple?.byteLength ?? 0) + (old?.tuple.byteLength ?? 0)
}

interface ColumnMaps {
  readonly byName: ReadonlyMap<string, Column>
  readonly byNumber: ReadonlyMap<number, Column>
  /** Those that the stream carries. */
  readonly published: readonly number[]
}

const columnMaps = new WeakMap<Table, ColumnMaps>()

function columnsOf(table: Table): ColumnMaps {
  return getOrMake(columnMaps, table, () => ({
    byName: new Map(table.columns.map((column) => [column.name, column])),
    byNumber: new Map(table.columns.map((column) => [column.number, column])),
    published: presentColumns(table).flatMap(({ number, tupleIndex }) => (tupleIndex === null ? [] : [number])),
  }))
}

/** The text in the row after the change. A value that was not sent again stands in the old row, where that was sent whole. */
function recordText({ newTuple, old }: RowChange, column: Column | undefined): string | null | undefined {
  const at = column?.tupleIndex ?? null
  if (at === null) return undefined
  const text = newTuple?.text(at)
  return text === undefined && old?.extent === 'full' ? old.tuple.text(at) : text
}

function oldText({ old }: RowChange, column: Column | undefined): string | null | undefined {
  const at = column?.tupleIndex ?? null
  return at === null ? undefined : old?.tuple.text(at)
}

export interface FilterView {
  /** Postgres is asked whether a deleted row was visible to the subscriber. */
  readonly asked?: boolean
  /** Of the table as the catalog has it: the stream may not say so yet. */
  readonly rowSecurity: boolean
}

/**
 * The columns that filters may read: the new row, or, of a deleted one, the columns of the replica identity — under row level
 * security only the primary key, so that no subscriber can probe the rest of a row that is not theirs (rule D11), unless it
 * is `asked` whether the row was theirs (rule D14).
 */
export function filterText(change: RowChange, { asked = false, rowSecurity }: FilterView): ColumnText {
  const { table } = change
  const { byName } = columnsOf(table)
  if (change.newTuple !== null) return (name) => recordText(change, byName.get(name))
  const onlyKey = (rowSecurity || table.rowSecurity) && !asked
  return (name) => {
    const column = byName.get(name)
    const isKnown = column !== undefined && (onlyKey ? table.primaryKey.includes(column) : column.identity)
    return isKnown ? oldText(change, column) : undefined
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
 * The old row as the text of a value of its table's row type; `null` when not all of these columns are known, save for
 * generated ones, which follow from the others.
 */
export function oldRowText(change: RowChange, names: readonly string[]): string | null {
  if (change.old?.extent !== 'full') return null
  const columns = names.map((name) => columnsOf(change.table).byName.get(name))
  const texts = columns.map((column) => oldText(change, column))
  return columns.every((column, at) => texts[at] !== undefined || column?.generated === true) ? rowText(texts) : null
}

/** A row as the text of a value of its table's row type. What is not known is null. */
export function rowText(texts: RowTexts): string {
  return `(${texts.map((text) => (typeof text === 'string' ? `"${text.replace(/["\\]/g, '\\$&')}"` : '')).join(',')})`
}

export function presentColumns({ columns }: Table): readonly Column[] {
  return columns.filter(({ number }) => number > 0)
}

/** The texts of {@link presentColumns}, after the change or before it; `null`: the log does not hold this row, or not whole. */
export function rowTexts(change: RowChange, row: 'record' | 'old'): RowTexts | null {
  if (row === 'record' ? change.newTuple === null : change.old?.extent !== 'full') return null
  const text = row === 'record' ? recordText : oldText
  return presentColumns(change.table).map((column) => text(change, column))
}

/** The columns that the stream carries, by `attnum`: one list for each version of a table. */
export function publishedColumns(table: Table): readonly number[] {
  return columnsOf(table).published
}

export function imageOf(change: RowChange, columns: readonly number[]): RowTexts {
  const { byNumber } = columnsOf(change.table)
  return columns.map((number) => recordText(change, byNumber.get(number)))
}

/** The change as if it had written these texts. */
export function withRow(change: RowChange, columns: readonly number[], texts: RowTexts): RowChange {
  const values: (string | null | undefined)[] = Array.from({ length: change.newTuple?.length ?? 0 })
  for (const { number, tupleIndex } of change.table.columns) {
    if (tupleIndex !== null && number > 0) values[tupleIndex] = texts[columns.indexOf(number)]
  }
  return { ...change, newTuple: Tuple.of(values) }
}
