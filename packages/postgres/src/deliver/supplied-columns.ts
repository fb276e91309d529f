import type { Column, Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { primaryKeyTexts, rowTexts } from '../replication/change-row.ts'
import type { RowChecks, WrittenRow } from '../decide/feed-database.ts'
import type { TableEntry } from '../catalog/table-entry.ts'

/** What somebody is told of a change. */
export interface Told {
  readonly change: RowChange
  /** The columns' `attnum`s, as {@link Binding} has them. */
  readonly columns: string
  readonly role: string
}

/** JSON texts by column name: of the row as it is after the change, and of what the stream told of it as it was before. */
export interface Supplied {
  readonly record: ReadonlyMap<string, string>
  readonly old: ReadonlyMap<string, string>
}

/** Whether the stream does not tell some of its values, so that Postgres has to be asked. */
export function lacksValues(table: Table): boolean {
  return missingColumns(table).length > 0
}

/**
 * What the stream does not tell: the JSON of types that bring their own cast to it, and generated columns that are not
 * published. Both follow from what the stream tells, so that whoever may see a change may see these. Where it does not tell
 * enough they are read from the row, but only if that still is the one that the change wrote: whoever sees the one may not
 * see the other.
 */
export async function suppliedColumns(
  told: Iterable<Told>,
  database: RowChecks,
  entryOf: (oid: number) => TableEntry | null,
): Promise<ReadonlyMap<RowChange, Supplied>> {
  const supplied = new Supplying()
  for (const [table, wanted] of wantedOf(told)) {
    for (const column of wanted.columns)
      if (column.type.kind === 'cast') await supplyCasts(wanted, column, column.type.name, database, supplied)
    const generated = [...wanted.columns].filter(({ tupleIndex }) => tupleIndex === null)
    if (generated.length > 0) await supplyGenerated(wanted, table, generated, database, supplied, entryOf(table.oid))
  }
  return supplied.byChange
}

class Supplying {
  readonly byChange: Map<RowChange, { readonly record: Map<string, string>; readonly old: Map<string, string> }> = new Map()

  set(change: RowChange, row: keyof Supplied, name: string, json: string): void {
    let values = this.byChange.get(change)
    if (values === undefined) this.byChange.set(change, (values = { record: new Map(), old: new Map() }))
    values[row].set(name, json)
  }
}

interface Wanted {
  /** Of one of those who are told. */
  readonly role: string
  readonly changes: Set<RowChange>
  readonly columns: Set<Column>
}

/** What nobody selected costs no question. */
function wantedOf(told: Iterable<Told>): Map<Table, Wanted> {
  const wanted = new Map<Table, Wanted>()
  for (const { change, columns, role } of told) {
    if (!lacksValues(change.table)) continue
    const lacking = missingColumnsOf(change.table, columns)
    if (lacking.length === 0) continue
    let ofTable = wanted.get(change.table)
    if (ofTable === undefined) wanted.set(change.table, (ofTable = { role, changes: new Set(), columns: new Set() }))
    ofTable.changes.add(change)
    for (const column of lacking) ofTable.columns.add(column)
  }
  return wanted
}

const missingByTold = new WeakMap<Table, Map<string, readonly Column[]>>()

function missingColumnsOf(table: Table, told: string): readonly Column[] {
  let ofTable = missingByTold.get(table)
  if (ofTable === undefined) missingByTold.set(table, (ofTable = new Map()))
  let columns = ofTable.get(told)
  if (columns === undefined) {
    const numbers = new Set(told.split(',').map(Number))
    columns = missingColumns(table).filter(({ number }) => numbers.has(number))
    ofTable.set(told, columns)
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

async function supplyCasts(
  { role, changes }: Wanted,
  column: Column,
  typeSql: string,
  database: RowChecks,
  supplied: Supplying,
): Promise<void> {
  const at = column.tupleIndex
  if (at === null) return
  const asked: { readonly change: RowChange; readonly row: keyof Supplied; readonly text: string }[] = []
  for (const change of changes) {
    const { newTuple, old } = change
    const before = old?.tuple.text(at)
    const after = newTuple?.text(at)
    // What an update left as it was, the stream may have told of the old row only.
    const now = after === undefined && newTuple !== null ? before : after
    if (typeof now === 'string') asked.push({ change, row: 'record', text: now })
    if (typeof before === 'string') asked.push({ change, row: 'old', text: before })
  }
  if (asked.length === 0) return
  const texts = asked.map(({ text }) => text)
  const json = await database.jsonOf({ typeSql, role, texts })
  for (const [index, { change, row }] of asked.entries()) {
    const value = json[index]
    if (value !== undefined) supplied.set(change, row, column.name, value)
  }
}

/** They follow from the rest of the row, if the stream told that; otherwise the row itself has them, if it still is the same. */
async function supplyGenerated(
  { role, changes }: Wanted,
  table: Table,
  columns: readonly Column[],
  database: RowChecks,
  supplied: Supplying,
  entry: TableEntry | null,
): Promise<void> {
  const names = columns.map(({ name }) => name)
  const rows: { readonly change: RowChange; readonly row: keyof Supplied; readonly texts: readonly (string | null | undefined)[] }[] = []
  for (const change of changes) {
    for (const row of ['record', 'old'] as const) {
      const texts = rowTexts(change, row)
      if (texts !== null) rows.push({ change, row, texts })
    }
  }
  if (rows.length === 0) return
  const computed = await database.computed({ table, role, columns: names, rows: rows.map(({ texts }) => texts) })
  for (const [index, values] of computed) for (const [name, json] of values) supplied.set(rows[index]!.change, rows[index]!.row, name, json)

  const asked: (WrittenRow & { readonly change: RowChange })[] = []
  for (const [index, { change, row }] of rows.entries()) {
    if (entry === null || row === 'old' || computed.get(index)?.size === names.length) continue
    const key = primaryKeyTexts(change)
    if (key !== null && key.length === entry.primaryKey.length) asked.push({ change, key, xid: change.transaction.xid })
  }
  if (entry === null || asked.length === 0) return
  for (const [index, values] of await database.generated(entry, names, asked))
    for (const [name, json] of values) supplied.set(asked[index]!.change, 'record', name, json)
}
