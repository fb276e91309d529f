import type { Decided, DecisionFault, Granted } from '../decide/decision.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { PendingDelivery } from '../subscribe/audience.ts'

/** JSON texts by column name: of the row as it is after the change, and of what the log holds of it as it was before. */
export interface Computed {
  readonly record: Map<string, string>
  readonly old: Map<string, string>
}

/** The deliveries that get something of a change. */
export type GrantedDeliveries = ReadonlyMap<PendingDelivery, Granted>

/** The decision about some deliveries, with the values that the log does not hold. */
export interface Outcome {
  readonly decided: Decided
  readonly faults: readonly DecisionFault[]
  readonly computed: ReadonlyMap<RowChange, Computed>
}

/** By row, the values that any of the outcomes has: each has those of the columns that its own deliveries need. */
export function computedOf([first, ...others]: readonly Outcome[]): ReadonlyMap<RowChange, Computed> {
  if (others.length === 0) return first!.computed
  const all = new Map<RowChange, Computed>()
  for (const { computed } of [first!, ...others])
    for (const [row, { record, old }] of computed) {
      const known = all.get(row)
      all.set(row, { record: new Map([...(known?.record ?? []), ...record]), old: new Map([...(known?.old ?? []), ...old]) })
    }
  return all
}

export function grantedOf([first, ...others]: readonly Outcome[], change: RowChange): GrantedDeliveries | undefined {
  if (others.length === 0) return first!.decided.get(change)
  return new Map([first!, ...others].flatMap(({ decided }) => [...(decided.get(change) ?? [])]))
}
