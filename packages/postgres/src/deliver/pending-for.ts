import { append } from '../catalog/multimap.ts'
import { filterText } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import { filterView, type Audience, type PendingDelivery, type Subscription } from '../subscribe/audience.ts'
import { matches } from '../subscribe/matches.ts'

/**
 * Which of the changes may concern these channels: for a replay, and for channels that got another identity. Only Postgres can
 * evaluate the filters of those that stand `apart`.
 */
export function pendingFor(
  channels: ReadonlySet<FeedChannel>,
  changes: readonly RowChange[],
): { readonly atOnce: PendingDelivery[]; readonly apart: PendingDelivery[] } {
  const audiences = new Map<Audience, Subscription[]>()
  for (const { closed, subscriptions } of channels)
    if (!closed)
      for (const subscription of subscriptions) if (subscription.audience !== null) append(audiences, subscription.audience, subscription)
  const atOnce: PendingDelivery[] = []
  const apart: PendingDelivery[] = []
  for (const [audience, subscriptions] of audiences) {
    const rows = { yes: [] as RowChange[], ask: [] as RowChange[], no: [] as RowChange[] }
    for (const change of changes) {
      if (change.table.oid !== audience.table.oid || change.action === 'TRUNCATE') continue
      rows[matches(audience, change, filterText(change, filterView(audience, change)))].push(change)
    }
    const only = new Set(subscriptions)
    if (rows.yes.length > 0) atOnce.push({ audience, rows: rows.yes, only })
    if (rows.ask.length > 0) apart.push({ audience, rows: rows.ask, only })
  }
  return { atOnce, apart }
}
