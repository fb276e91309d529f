import type { FilterView } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Audience, Subscription } from './feed-channel.ts'

export type { Audience, Subscription }

/** Rows that may concern an audience: its filters pass them, as far as that can be decided without Postgres. */
export interface PendingDelivery {
  readonly audience: Audience
  readonly rows: readonly RowChange[]
  /** Only these subscriptions of the audience. */
  readonly only?: ReadonlySet<Subscription>
}

/** The error that the audience gets instead of the row. */
export function faultOf({ fault }: Audience, { action }: RowChange): string | null {
  if (fault === 'unauthorized') return 'Error 401: Unauthorized'
  return fault === 'no-primary-key' && action !== 'DELETE' ? 'Error 400: Bad Request, no primary key' : null
}

/** Whether it is a delete that comes only to those who could see the row. */
export function isAuthorizedDelete({ authorizesDeletes }: Audience, { action }: RowChange): boolean {
  return action === 'DELETE' && authorizesDeletes
}

/** What the audience's filters may look at. */
export function filterView(audience: Audience, change: RowChange): FilterView {
  return { asked: isAuthorizedDelete(audience, change), rowSecurity: audience.table.rowSecurity }
}
