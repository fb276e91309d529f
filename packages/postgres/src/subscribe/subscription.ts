import type { FilterView } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import type { TableEntry } from '../catalog/table-entry.ts'
import type { ChangeAction, ChangeEntry } from './change-entry.ts'
import type { FeedChannel } from './feed-channel.ts'
import type { PreparedFilter } from './filter-test.ts'
import type { IndexPlace } from './subscription-index.ts'

/** One table that one entry of a channel watches. */
export interface Subscription {
  readonly channel: FeedChannel
  readonly entry: ChangeEntry
  /** The entry's index in the request. */
  readonly order: number
  readonly oid: number
  readonly select: ReadonlySet<string> | null
  /** As prepared for the version of the table that the catalog last described; `null`: they do not fit it. */
  filters: readonly PreparedFilter[] | null
  /** `attnum`s of the columns that its role may read, comma separated. */
  columns: string
  /** `null` until table and role are known, and while its filters do not fit the table. */
  audience: Audience | null
}

/**
 * Subscriptions of one table that share role, identity, event and filters: whatever is decided about a row is decided for
 * all of them. Belongs to one version of the table; the next version has other audiences.
 */
export interface Audience {
  /** Equal for the same audience of another version of the table. */
  readonly key: string
  readonly entry: TableEntry
  readonly role: string
  /** Whose policies decide; `null`: every row of the table is visible to the role. */
  readonly identity: CheckIdentity | null
  readonly event: ChangeAction | '*'
  readonly filters: readonly PreparedFilter[]
  /** It gets only deletes of rows that its user could see (rule D14). */
  readonly authorizesDeletes: boolean
  /** Why the role gets errors instead of rows; `null`: it gets rows. */
  readonly fault: 'unauthorized' | 'no-primary-key' | null
  /** Every row that its policies show has this value in this column. */
  readonly owner: { readonly column: string; readonly value: string } | null
  readonly place: IndexPlace
  readonly members: Set<Subscription>
}

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
  return { asked: isAuthorizedDelete(audience, change), rowSecurity: audience.entry.rowSecurity }
}
