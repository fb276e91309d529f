import type { ColumnText } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { faultOf, type Audience } from './audience.ts'
import { verdictOf } from './filter-test.ts'

/** Whether a change may concern the audience, as far as it can be decided here. `ask`: only Postgres can evaluate its filters. */
export function matches(audience: Audience, change: RowChange, text: ColumnText): 'yes' | 'no' | 'ask' {
  const { event, filters, owner } = audience
  if (event !== '*' && event !== change.action) return 'no'
  if (faultOf(audience, change) !== null) return 'yes'
  let outcome: 'yes' | 'ask' = 'yes'
  for (const filter of filters) {
    const verdict = verdictOf(filter, change.table, text)
    if (verdict === false) return 'no'
    if (verdict === null) outcome = 'ask'
  }
  if (owner === null || change.action === 'DELETE') return outcome
  const owned = text(owner.column)
  return owned === undefined || owned === owner.value ? outcome : 'no'
}
