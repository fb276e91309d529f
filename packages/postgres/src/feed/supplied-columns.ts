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
  const changes = new Map<Table, Set<RowChange>>()
  for (const { allowed, change } of candidates) {
    if (!allowed || change.newTuple === null || missingColumns(change.table).length === 0) continue
    const known = changes.get(change.table)
    if (known === undefined) changes.set(change.table, new Set([change]))
    else known.add(change)
  }
  for (const [table, ofTable] of changes) {
    for (const column of missingColumns(table)) {
      if (column.type.kind === 'cast') await supplyCasts(column, column.type.name, [...ofTable], database, supplied)
    }
    const entry = entryOf(table.oid)
    const generated = missingColumns(table).filter((column) => column.tupleIndex === null)
    if (entry !== null && !entry.rowSecurity && generated.length > 0 && entry.primaryKey.length > 0)
      await supplyGenerated(entry, generated, [...ofTable], database, supplied)
  }
  return supplied
}

const missing = new WeakMap<Table, readonly Column[]>()

function missingColumns(table: Table): readonly Column[] {
  let columns = missing.get(table)
  if (columns === undefined) {
    columns = table.columns.filter((column) => (column.tupleIndex === null ? column.generated : column.type.kind === 'cast'))
    missing.set(table, columns)
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
