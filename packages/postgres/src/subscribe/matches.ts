import { append } from '../catalog/multimap.ts'
import type { ColumnText } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { errorInsteadOfRow, filterTextOf, type Audience, type PendingDelivery, type Subscription } from './audience.ts'
import type { FeedChannel } from './feed-channel.ts'
import { verdictOf } from './prepared-filter.ts'

/** Whether a change may concern the audience, as far as it can be decided here. `ask`: only Postgres can evaluate its filters. */
export function matches(audience: Audience, change: RowChange, text: ColumnText): 'yes' | 'no' | 'ask' {
  const { event, filters, owner } = audience
  if (event !== '*' && event !== change.action) return 'no'
  if (errorInsteadOfRow(audience, change) !== null) return 'yes'
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

/** Which of the changes may concern these channels: for a replay, and for channels that got another identity. */
export function pendingFor(channels: ReadonlySet<FeedChannel>, changes: readonly RowChange[]): PendingDelivery[] {
  const audiences = new Map<Audience, Subscription[]>()
  for (const { closed, subscriptions } of channels)
    if (!closed)
      for (const subscription of subscriptions) if (subscription.audience !== null) append(audiences, subscription.audience, subscription)
  return [...audiences].flatMap(([audience, subscriptions]) => {
    const rows = { yes: [] as RowChange[], ask: [] as RowChange[], no: [] as RowChange[] }
    for (const change of changes) {
      if (change.table.oid !== audience.table.oid || change.action === 'TRUNCATE') continue
      rows[matches(audience, change, filterTextOf(audience, change))].push(change)
    }
    const only = new Set(subscriptions)
    const pending = [
      { audience, rows: rows.yes, asks: false, only },
      { audience, rows: rows.ask, asks: true, only },
    ]
    return pending.filter((each) => each.rows.length > 0)
  })
}
