import type { Column, Table } from '../table.ts'
import type { RowChange } from '../transaction-assembler.ts'
import { primaryKeyTexts } from './change-row.ts'
import type { Candidate } from './decision.ts'
import type { FeedDatabase } from './feed-database.ts'
import type { TableEntry } from './table-entry.ts'

/**
 * JSON texts of what the stream does not tell: values of types that bring their own cast to JSON, and, before Postgres 18,
 * stored generated columns, as the row is now. The latter only without row level security.
 */
export async function suppliedColumns(
  candidates: readonly Candidate[],
  database: FeedDatabase,
  entryOf: (oid: number) => TableEntry | null,
): Promise<Map<RowChange, Map<string, string>>> {
  const supplied = new Map<RowChange, Map<string, string>>()
  for (const [table, { changes, columns }] of wantedOf(candidates)) {
    for (const column of columns) {
      if (column.tupleIndex !== null && column.type.kind === 'cast')
        await supplyCasts(column, column.type.name, [...changes], database, supplied)
    }
    const entry = entryOf(table.oid)
    const generated = [...columns].filter((column) => column.tupleIndex === null)
    if (entry !== null && !entry.rowSecurity && generated.length > 0 && entry.primaryKey.length > 0)
      await supplyGenerated(entry, generated, [...changes], database, supplied)
  }
  return supplied
}

interface Wanted {
  readonly changes: Set<RowChange>
  readonly columns: Set<Column>
}

/** What somebody is told; what nobody selected costs no question. */
function wantedOf(candidates: readonly Candidate[]): Map<Table, Wanted> {
  const wanted = new Map<Table, Wanted>()
  for (const { allowed, change, subscription } of candidates) {
    const { binding } = subscription
    if (!allowed || binding === null || binding.keyOnly || change.newTuple === null) continue
    const columns = missingColumns(change.table, binding.columns)
    if (columns.length === 0) continue
    let ofTable = wanted.get(change.table)
    if (ofTable === undefined) wanted.set(change.table, (ofTable = { changes: new Set(), columns: new Set() }))
    ofTable.changes.add(change)
    for (const column of columns) ofTable.columns.add(column)
  }
  return wanted
}

const missing = new WeakMap<Table, Map<string, readonly Column[]>>()

/** Those of the columns, which are `attnum`s, that the stream does not tell. */
function missingColumns(table: Table, told: string): readonly Column[] {
  let ofTable = missing.get(table)
  if (ofTable === undefined) missing.set(table, (ofTable = new Map()))
  let columns = ofTable.get(told)
  if (columns === undefined) {
    const numbers = new Set(told.split(',').map(Number))
    columns = table.columns.filter(
      (column) => numbers.has(column.number) && (column.tupleIndex === null ? column.generated : column.type.kind === 'cast'),
    )
    ofTable.set(told, columns)
  }
  return columns
}

async function supplyCasts(
  column: Column,
  typeSql: string,
  changes: readonly RowChange[],
  database: FeedDatabase,
  supplied: Map<RowChange, Map<string, string>>,
): Promise<void> {
  const asked = changes.flatMap((change) => {
    const text = change.newTuple?.text(column.tupleIndex!)
    return typeof text === 'string' ? [{ change, text }] : []
  })
  if (asked.length === 0) return
  const json = await database.jsonOf(
    typeSql,
    asked.map(({ text }) => text),
  )
  asked.forEach(({ change }, index) => set(supplied, change, column.name, json[index] ?? 'null'))
}

async function supplyGenerated(
  entry: TableEntry,
  columns: readonly Column[],
  changes: readonly RowChange[],
  database: FeedDatabase,
  supplied: Map<RowChange, Map<string, string>>,
): Promise<void> {
  const asked = changes.flatMap((change) => {
    const key = primaryKeyTexts(change)
    return key === null ? [] : [{ change, key }]
  })
  const found = await database.generated(
    entry,
    columns.map(({ name }) => name),
    asked.map(({ key }) => key),
  )
  for (const [index, values] of found) for (const [name, json] of values) set(supplied, asked[index]!.change, name, json)
}

function set(supplied: Map<RowChange, Map<string, string>>, change: RowChange, name: string, json: string): void {
  const values = supplied.get(change)
  if (values === undefined) supplied.set(change, new Map([[name, json]]))
  else values.set(name, json)
}
