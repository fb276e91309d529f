import type { CatalogTable } from '../catalog/catalog-table.ts'
import { errorText } from '../catalog/database-fault.ts'
import { getOrMake, groupBy } from '../catalog/multimap.ts'
import type { Decided, DecisionFault } from '../decide/decision.ts'
import type { RowChecks, WrittenRow } from '../decide/feed-database.ts'
import { inHalves } from '../decide/in-halves.ts'
import { imageOf, primaryKeyTexts, publishedColumns, rowTexts, type RowTexts } from '../replication/change-row.ts'
import type { Column, Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { errorInsteadOfRow, subscribersOf, type PendingDelivery } from '../subscribe/audience.ts'
import type { Computed, Outcome } from './outcome.ts'
import { viewOf } from './table-view.ts'

/** Has the database compute what the log does not hold of the granted rows. A row that cannot be computed is withheld, with a fault. */
export async function project(decided: Decided, checks: RowChecks, tableOf: (oid: number) => CatalogTable | null): Promise<Outcome> {
  const lacking = lackingOf(decided)
  const computed = new Map<RowChange, Computed>()
  if (lacking.length === 0) return { decided, faults: [], computed }
  const failed = new Map<RowChange, unknown>()
  const compute = (part: readonly Lacking[]): Promise<void> => computeColumns(part, checks, tableOf, computed)
  await inHalves(lacking, compute, ({ row }, error) => failed.set(row, error))
  const faults = [...failed].map(([row, error]): DecisionFault => {
    const deliveries = [...decided.get(row)!.keys()]
    return { kind: 'row', message: errorText(error), timedOut: false, deliveries }
  })
  return { decided: failed.size === 0 ? decided : new Map([...decided].filter(([row]) => !failed.has(row))), faults, computed }
}

function lackingOf(decided: Decided): Lacking[] {
  const lacking: Lacking[] = []
  for (const [row, granted] of decided) {
    if (!mayLackValues(row.table)) continue
    let ofRow: Lacking | null = null
    for (const [delivery, { record }] of granted) {
      if (record === 'key' || errorInsteadOfRow(delivery.audience, row) !== null) continue
      const columns = missingFor(row, delivery)
      // Columns that no subscriber selected are not asked for.
      if (columns.length === 0) continue
      ofRow ??= { row, role: delivery.audience.role, versions: new Set(), columns: new Set() }
      ofRow.versions.add(record === 'image' ? row : record)
      for (const column of columns) ofRow.columns.add(column)
    }
    if (ofRow !== null) lacking.push(ofRow)
  }
  return lacking
}

function missingFor({ table }: RowChange, delivery: PendingDelivery): readonly Column[] {
  const selections = new Set([...subscribersOf(delivery)].map(({ columns }) => columns))
  return [...selections].flatMap((selection) => viewOf(table, selection).missing)
}

/** False for most tables: they are skipped. */
function mayLackValues({ columns }: Table): boolean {
  return columns.some(({ tupleIndex, generated, type }) => (tupleIndex === null ? generated : type.kind === 'cast'))
}

/** A row of which the log does not hold all that is delivered. */
interface Lacking {
  readonly row: RowChange
  /** The role of one of the subscribers. */
  readonly role: string
  /** The row as the change wrote it, and as checks read it. */
  readonly versions: Set<RowChange>
  readonly columns: Set<Column>
}

interface Wanted {
  readonly role: string
  readonly changes: readonly RowChange[]
  readonly database: RowChecks
  readonly set: (change: RowChange, row: keyof Computed, column: string, json: string) => void
}

/**
 * Computes what the log does not hold: the JSON of types that only the database can write, and generated columns that are not
 * published. Both follow from what the log holds, so that they may be delivered with it. Where it does not hold enough they are
 * read from the row, but only if that is unchanged: a newer version may not be visible to this user.
 */
async function computeColumns(
  lacking: readonly Lacking[],
  database: RowChecks,
  tableOf: (oid: number) => CatalogTable | null,
  computed: Map<RowChange, Computed>,
): Promise<void> {
  const set: Wanted['set'] = (change, row, column, json) =>
    void getOrMake(computed, change, (): Computed => ({ record: new Map(), old: new Map() }))[row].set(column, json)
  for (const [table, rows] of groupBy(lacking, ({ row }) => row.table)) {
    const wanted = { role: rows[0]!.role, changes: rows.flatMap(({ versions }) => [...versions]), database, set }
    const columns = [...new Set(rows.flatMap((row) => [...row.columns]))]
    for (const column of columns) if (column.tupleIndex !== null) await computeCasts(wanted, column, column.tupleIndex)
    const generated = columns.filter(({ tupleIndex }) => tupleIndex === null)
    if (generated.length > 0) await computeGenerated(wanted, table, generated, tableOf(table.oid))
  }
}

/** The JSON of types with their own cast to JSON. */
async function computeCasts({ role, changes, database, set }: Wanted, { name, typeOid, type }: Column, at: number): Promise<void> {
  if (type.kind !== 'cast') return
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
  const json = await database.jsonOf({ typeOid, typeSql: type.name, role, texts: asked.map(({ text }) => text) })
  for (const [index, { change, row }] of asked.entries()) if (json[index] !== undefined) set(change, row, name, json[index])
}

function publishedTexts(change: RowChange): ReadonlyMap<number, string | null> {
  const numbers = publishedColumns(change.table)
  const texts = imageOf(change, numbers)
  return new Map(numbers.flatMap((number, index) => (texts[index] === undefined ? [] : [[number, texts[index]!]])))
}

/** Generated columns, as {@link computeColumns} says. */
async function computeGenerated(
  { role, changes, database, set }: Wanted,
  table: Table,
  columns: readonly Column[],
  loaded: CatalogTable | null,
): Promise<void> {
  const names = columns.map(({ name }) => name)
  const rows: { readonly change: RowChange; readonly row: keyof Computed; readonly texts: RowTexts }[] = []
  for (const change of changes) {
    for (const row of ['record', 'old'] as const) {
      const texts = rowTexts(change, row)
      if (texts !== null) rows.push({ change, row, texts })
    }
  }
  if (rows.length === 0) return
  const found = await database.computed({ table, role, columns: names, rows: rows.map(({ texts }) => texts) })
  for (const [index, values] of found) for (const [name, json] of values) set(rows[index]!.change, rows[index]!.row, name, json)
  if (loaded === null) return
  const asked: (WrittenRow & { readonly change: RowChange })[] = []
  for (const [index, { change, row }] of rows.entries()) {
    if (row === 'old' || found.get(index)?.size === names.length) continue
    const key = primaryKeyTexts(change)
    if (key !== null && key.length === loaded.primaryKey.length)
      asked.push({ change, key, xid: change.transaction.xid, published: publishedTexts(change) })
  }
  if (asked.length === 0) return
  for (const [index, values] of await database.generated(loaded, names, asked))
    for (const [name, json] of values) set(asked[index]!.change, 'record', name, json)
}
