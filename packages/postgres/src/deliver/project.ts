import type { CatalogTable } from '../catalog/catalog-table.ts'
import { errorText } from '../catalog/database-fault.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { Decided, DecisionFault } from '../decide/decision.ts'
import type { RowChecks } from '../decide/feed-database.ts'
import { inHalves } from '../decide/in-halves.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { faultOf, subscribersOf } from '../subscribe/audience.ts'
import { computeColumns, lacksValues, missingColumns, type Computed, type Lacking } from './computed-columns.ts'

/** What was decided about some deliveries, with the values that the log does not hold. */
export interface Outcome {
  readonly decided: readonly Decided[]
  readonly faults: readonly DecisionFault[]
  readonly computed: ReadonlyMap<RowChange, Computed>
}

/** Has the database compute what the log does not hold of the granted rows. A row for which that fails is refused, with a fault. */
export async function project(
  decided: readonly Decided[],
  checks: RowChecks,
  tableOf: (oid: number) => CatalogTable | null,
): Promise<Outcome> {
  const computed = new Map<RowChange, Computed>()
  const failed = new Map<RowChange, unknown>()
  const compute = async (part: readonly Lacking[]): Promise<void> => {
    for (const [row, values] of await computeColumns(part, checks, tableOf)) computed.set(row, values)
  }
  await inHalves(lackingOf(decided), compute, ({ row }, error) => failed.set(row, error))
  const faults = [...failed].map(([row, error]): DecisionFault => {
    const deliveries = decided.filter(({ granted }) => granted.has(row)).map(({ delivery }) => delivery)
    return { kind: 'row', message: errorText(error), timedOut: false, deliveries }
  })
  return { decided: failed.size === 0 ? decided : decided.map((each) => without(each, failed)), faults, computed }
}

function lackingOf(decided: readonly Decided[]): Lacking[] {
  const lacking = new Map<RowChange, Lacking>()
  for (const { delivery, granted } of decided) {
    const { audience } = delivery
    let selections: Set<string> | null = null
    for (const [row, { record }] of granted) {
      if (record === 'key' || !lacksValues(row.table) || faultOf(audience, row) !== null) continue
      selections ??= new Set([...subscribersOf(delivery)].map(({ columns }) => columns))
      const columns = [...selections].flatMap((selection) => missingColumns(row.table, selection))
      // Columns that no subscriber selected are not asked for.
      if (columns.length === 0) continue
      const ofRow = getOrMake(lacking, row, (): Lacking => ({ row, role: audience.role, versions: new Set(), columns: new Set() }))
      ofRow.versions.add(record === 'image' ? row : record)
      for (const column of columns) ofRow.columns.add(column)
    }
  }
  return [...lacking.values()]
}

function without({ delivery, granted }: Decided, failed: ReadonlyMap<RowChange, unknown>): Decided {
  return { delivery, granted: new Map([...granted].filter(([row]) => !failed.has(row))) }
}
