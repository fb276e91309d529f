import type { ColumnText } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { faultOf, type Audience } from './audience.ts'
import { testFor } from './filter-test.ts'

/**
 * Whether a change may concern the audience, as far as it can be decided here. `ask`: only Postgres can evaluate its
 * filters, or a value is none of the type that they were prepared for.
 */
export function matches(audience: Audience, change: RowChange, text: ColumnText): 'yes' | 'no' | 'ask' {
  const { event, filters, owner } = audience
  if (event !== '*' && event !== change.action) return 'no'
  if (faultOf(audience, change) !== null) return 'yes'
  let outcome: 'yes' | 'ask' = 'yes'
  for (const filter of filters) {
    const value = text(filter.column.name)
    if (value === undefined) return 'no'
    const test = testFor(filter, change.table)
    const result = test === null ? 'ask' : attempt(test, value)
    if (result === 'ask') outcome = 'ask'
    else if (result !== true) return 'no'
  }
  if (owner === null || change.action === 'DELETE') return outcome
  const owned = text(owner.column)
  return owned === undefined || owned === owner.value ? outcome : 'no'
}

/** A text that is no value of the type is Postgres's to judge. */
function attempt(test: (text: string | null) => boolean | null, value: string | null): boolean | null | 'ask' {
  try {
    return test(value)
  } catch {
    return 'ask'
  }
}
