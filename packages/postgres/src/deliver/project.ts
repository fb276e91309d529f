import { errorText, isUnreachable } from '../catalog/database-fault.ts'
import type { CatalogTable } from '../catalog/catalog-table.ts'
import type { Decided, DecisionFault } from '../decide/decision.ts'
import type { RowChecks } from '../decide/feed-database.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { faultOf } from '../subscribe/audience.ts'
import { lacksValues, computeColumns, type Computed, type Projection } from './computed-columns.ts'

/** What was decided about some deliveries, with the values that the log does not hold. */
export interface Outcome {
  readonly decided: readonly Decided[]
  readonly faults: readonly DecisionFault[]
  readonly computed: ReadonlyMap<RowChange, Computed>
}

/** Has the database compute what the log does not hold of the granted rows. A row for which that fails is refused, with a fault. */
export async function project(
  decided: readonly Decided[],
  faults: readonly DecisionFault[],
  checks: RowChecks,
  entryOf: (oid: number) => CatalogTable | null,
): Promise<Outcome> {
  try {
    return { decided, faults, computed: await computeColumns(lacking(decided), checks, entryOf) }
  } catch (error) {
    if (isUnreachable(error)) throw error
    const rows = [...new Set(decided.flatMap(({ granted }) => [...granted.keys()]))].filter(({ table }) => lacksValues(table))
    const part = (keeps: (row: RowChange) => boolean): Decided[] => decided.map((each) => limited(each, keeps))
    if (rows.length < 2) {
      const affected = decided.filter(({ granted }) => rows.some((row) => granted.has(row)))
      const deliveries = affected.map(({ delivery }) => delivery)
      const fault: DecisionFault = { kind: 'row', message: errorText(error), timedOut: false, deliveries }
      return { decided: part((row) => !rows.includes(row)), faults: [...faults, fault], computed: new Map() }
    }
    const first = new Set(rows.slice(0, rows.length >> 1))
    const half = (isFirst: boolean): Promise<Outcome> =>
      project(
        part((row) => first.has(row) === isFirst),
        [],
        checks,
        entryOf,
      )
    const [one, other] = [await half(true), await half(false)]
    const computed = new Map([...one.computed, ...other.computed])
    return { decided: [...one.decided, ...other.decided], faults: [...faults, ...one.faults, ...other.faults], computed }
  }
}

/** Granted changes of which the log does not hold everything. */
function* lacking(decided: readonly Decided[]): Generator<Projection> {
  for (const { delivery, granted } of decided) {
    const { audience, only } = delivery
    let selections: Set<string> | null = null
    for (const [row, { record }] of granted) {
      if (record === 'key' || !lacksValues(row.table) || faultOf(audience, row) !== null) continue
      selections ??= new Set([...(only ?? audience.members)].map(({ columns }) => columns))
      for (const columns of selections) yield { change: record === 'image' ? row : record, columns, role: audience.role }
    }
  }
}

function limited({ delivery, granted }: Decided, keeps: (row: RowChange) => boolean): Decided {
  return { delivery, granted: new Map([...granted].filter(([row]) => keeps(row))) }
}
