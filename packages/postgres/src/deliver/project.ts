import type { CatalogTable } from '../catalog/catalog-table.ts'
import { errorText } from '../catalog/database-fault.ts'
import type { Decided, DecisionFault } from '../decide/decision.ts'
import type { RowChecks } from '../decide/feed-database.ts'
import { inHalves } from '../decide/in-halves.ts'
import type { Column } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { faultOf, subscribersOf, type PendingDelivery } from '../subscribe/audience.ts'
import { computeColumns, lacksValues, missingColumns, type Computed, type Lacking } from './computed-columns.ts'

/** What was decided about some deliveries, with the values that the log does not hold. */
export interface Outcome {
  readonly decided: Decided
  readonly faults: readonly DecisionFault[]
  readonly computed: ReadonlyMap<RowChange, Computed>
}

/** Has the database compute what the log does not hold of the granted rows. A row for which that fails is refused, with a fault. */
export async function project(decided: Decided, checks: RowChecks, tableOf: (oid: number) => CatalogTable | null): Promise<Outcome> {
  const computed = new Map<RowChange, Computed>()
  const failed = new Map<RowChange, unknown>()
  const compute = async (part: readonly Lacking[]): Promise<void> => {
    for (const [row, values] of await computeColumns(part, checks, tableOf)) computed.set(row, values)
  }
  await inHalves(lackingOf(decided), compute, ({ row }, error) => failed.set(row, error))
  const faults = [...failed].map(([row, error]): DecisionFault => {
    const deliveries = [...decided.get(row)!.keys()]
    return { kind: 'row', message: errorText(error), timedOut: false, deliveries }
  })
  return { decided: failed.size === 0 ? decided : new Map([...decided].filter(([row]) => !failed.has(row))), faults, computed }
}

function lackingOf(decided: Decided): Lacking[] {
  const lacking: Lacking[] = []
  for (const [row, granted] of decided) {
    if (!lacksValues(row.table)) continue
    let ofRow: Lacking | null = null
    for (const [delivery, { record }] of granted) {
      if (record === 'key' || faultOf(delivery.audience, row) !== null) continue
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
  return [...selections].flatMap((selection) => missingColumns(table, selection))
}
