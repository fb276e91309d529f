import { getOrMake } from '../catalog/multimap.ts'
import type { Column, Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { primaryKeyTexts, rowTexts } from '../replication/change-row.ts'
import type { RowChecks, WrittenRow } from '../decide/feed-database.ts'
import type { CatalogTable } from '../catalog/catalog-table.ts'

/** Columns of a change that are delivered. */
export interface Projection {
  readonly change: RowChange
  /** The columns' `attnum`s, comma separated. */
  readonly columns: string
  readonly role: string
}

/** JSON texts by column name: of the row as it is after the change, and of what the log holds of it as it was before. */
export interface Computed {
  readonly record: ReadonlyMap<string, string>
  readonly old: ReadonlyMap<string, string>
}

/** Whether the log does not hold some of its values, so that Postgres has to be asked. */
export function lacksValues(table: Table): boolean {
  return missingColumns(table).length > 0
}

/**
 * Computes what the log does not hold: the JSON of types that only the database can write, and generated columns that are not
 * published. Both follow from what the log holds, so that they may be delivered with it. Where it does not hold enough they are
 * read from the row, but only if that is unchanged: a newer version may not be visible to this user.
 */
export async function computeColumns(
  projections: Iterable<Projection>,
  database: RowChecks,
  entryOf: (oid: number) => CatalogTable | null,
): Promise<ReadonlyMap<RowChange, Computed>> {
  const computed = new Computing()
  for (const [table, wanted] of wantedOf(projections)) {
    for (const column of wanted.columns)
      if (column.type.kind === 'cast') await computeCasts(wanted, column, column.type.name, database, computed)
    const generated = [...wanted.columns].filter(({ tupleIndex }) => tupleIndex === null)
    if (generated.length > 0) await computeGenerated(wanted, table, generated, database, computed, entryOf(table.oid))
  }
  return computed.byChange
}

class Computing {
  readonly byChange: Map<RowChange, { readonly record: Map<string, string>; readonly old: Map<string, string> }> = new Map()

  set(change: RowChange, row: keyof Computed, name: string, json: string): void {
    getOrMake(this.byChange, change, () => ({ record: new Map<string, string>(), old: new Map<string, string>() }))[row].set(name, json)
  }
}

interface Wanted {
  /** Of one of the subscribers. */
  readonly role: string
  readonly changes: Set<RowChange>
  readonly columns: Set<Column>
}

/** Columns that no subscriber selected are not asked for. */
function wantedOf(projections: Iterable<Projection>): Map<Table, Wanted> {
  const wanted = new Map<Table, Wanted>()
  for (const { change, columns, role } of projections) {
    if (!lacksValues(change.table)) continue
    const lacking = missingColumnsOf(change.table, columns)
    if (lacking.length === 0) continue
    const ofTable = getOrMake(wanted, change.table, (): Wanted => ({ role, changes: new Set(), columns: new Set() }))
    ofTable.changes.add(change)
    for (const column of lacking) ofTable.columns.add(column)
  }
  return wanted
}

const missingBySelection = new WeakMap<Table, Map<string, readonly Column[]>>()

function missingColumnsOf(table: Table, selection: string): readonly Column[] {
  const ofTable = getOrMake(missingBySelection, table, () => new Map<string, readonly Column[]>())
  let columns = ofTable.get(selection)
  if (columns === undefined) {
    const numbers = new Set(selection.split(',').map(Number))
    columns = missingColumns(table).filter(({ number }) => numbers.has(number))
    ofTable.set(selection, columns)
  }
  return columns
}

const missing = new WeakMap<Table, readonly Column[]>()

/** Of a publication that lists columns, what it leaves out stays out. */
function missingColumns(table: Table): readonly Column[] {
  let columns = missing.get(table)
  if (columns === undefined) {
    const isListed = table.columns.some(({ tupleIndex, generated }) => tupleIndex === null && !generated)
    columns = table.columns.filter(({ tupleIndex, generated, type }) =>
      tupleIndex === null ? generated && !isListed : type.kind === 'cast',
    )
    missing.set(table, columns)
  }
  return columns
}

async function computeCasts(
  { role, changes }: Wanted,
  column: Column,
  typeSql: string,
  database: RowChecks,
  computed: Computing,
): Promise<void> {
  const at = column.tupleIndex
  if (at === null) return
  const asked: { readonly change: RowChange; readonly row: keyof Computed; readonly text: string }[] = []
  for (const change of changes) {
    const { newTuple, old } = change
    const before = old?.tuple.text(at)
    const after = newTuple?.text(at)
    // The log may hold a value that an update left as it was in the old row only.
    const now = after === undefined && newTuple !== null ? before : after
    if (typeof now === 'string') asked.push({ change, row: 'record', text: now })
    if (typeof before === 'string') asked.push({ change, row: 'old', text: before })
  }
  if (asked.length === 0) return
  const texts = asked.map(({ text }) => text)
  const json = await database.jsonOf({ typeOid: column.typeOid, typeSql, role, texts })
  for (const [index, { change, row }] of asked.entries()) {
    const value = json[index]
    if (value !== undefined) computed.set(change, row, column.name, value)
  }
}

/** They follow from the rest of the row, if the log holds it; otherwise they are read from the row, if it is unchanged. */
async function computeGenerated(
  { role, changes }: Wanted,
  table: Table,
  columns: readonly Column[],
  database: RowChecks,
  results: Computing,
  entry: CatalogTable | null,
): Promise<void> {
  const names = columns.map(({ name }) => name)
  const rows: { readonly change: RowChange; readonly row: keyof Computed; readonly texts: readonly (string | null | undefined)[] }[] = []
  for (const change of changes) {
    for (const row of ['record', 'old'] as const) {
      const texts = rowTexts(change, row)
      if (texts !== null) rows.push({ change, row, texts })
    }
  }
  if (rows.length === 0) return
  const found = await database.computed({ table, role, columns: names, rows: rows.map(({ texts }) => texts) })
  for (const [index, values] of found) for (const [name, json] of values) results.set(rows[index]!.change, rows[index]!.row, name, json)

  const asked: (WrittenRow & { readonly change: RowChange })[] = []
  for (const [index, { change, row }] of rows.entries()) {
    if (entry === null || row === 'old' || found.get(index)?.size === names.length) continue
    const key = primaryKeyTexts(change)
    if (key !== null && key.length === entry.primaryKey.length) asked.push({ change, key, xid: change.transaction.xid })
  }
  if (entry === null || asked.length === 0) return
  for (const [index, values] of await database.generated(entry, names, asked))
    for (const [name, json] of values) results.set(asked[index]!.change, 'record', name, json)
}
