import { uidOf, type Identities } from '../catalog/identity.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { CatalogRole, CatalogTable } from '../catalog/catalog-table.ts'
import { filterText, type ColumnText } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Audience, Subscription } from './feed-channel.ts'
import { lookupValues, type PreparedFilter } from './prepared-filter.ts'

export type { Audience, Subscription }

/** Rows that may concern an audience: its filters pass them, as far as that can be decided without Postgres. */
export interface PendingDelivery {
  readonly audience: Audience
  readonly rows: readonly RowChange[]
  /** Only Postgres can evaluate the audience's filters for these rows. */
  readonly asks: boolean
  /** The members that the delivery is for; absent: all. */
  readonly only?: ReadonlySet<Subscription>
}

export function subscribersOf({ audience, only }: PendingDelivery): ReadonlySet<Subscription> {
  return only ?? audience.members
}

/** The error that the audience gets instead of the row; `null`: it gets the row. */
export function errorInsteadOfRow({ fault }: Audience, { action }: RowChange): string | null {
  if (fault === 'unauthorized') return 'Error 401: Unauthorized'
  return fault === 'no-primary-key' && action !== 'DELETE' ? 'Error 400: Bad Request, no primary key' : null
}

export function isAuthorizedDelete({ authorizesDeletes }: Audience, { action }: RowChange): boolean {
  return action === 'DELETE' && authorizesDeletes
}

/** The columns that the audience's filters may read. */
export function filterTextOf(audience: Audience, change: RowChange): ColumnText {
  return filterText(change, { asked: isAuthorizedDelete(audience, change), rowSecurity: audience.table.rowSecurity })
}

const readable = new WeakMap<CatalogTable, Map<string, string>>()

/** The columns that the subscription gets: `attnum`s, comma separated. Subscriptions without `select` share one text. */
export function columnsFor({ select }: Subscription, table: CatalogTable, { name }: CatalogRole): string {
  if (select !== null) return columnNumbers(table, name, select)
  const known = getOrMake(readable, table, () => new Map<string, string>())
  return getOrMake(known, name, () => columnNumbers(table, name, null))
}

function columnNumbers({ columns, primaryKey }: CatalogTable, role: string, select: ReadonlySet<string> | null): string {
  return columns
    .filter((column) => column.rolesWithSelect.has(role) && (select === null || select.has(column.name) || primaryKey.includes(column)))
    .map(({ number }) => number)
    .join()
}

const signatures = new WeakMap<readonly PreparedFilter[], string>()

/** Equal for filters that mean the same. */
export function signatureOf(filters: readonly PreparedFilter[]): string {
  return getOrMake(signatures, filters, () => JSON.stringify(filters.map(({ filter, values }) => [filter, values])))
}

/** Equal for the same audience of another version of the table. */
export function audienceKey({ table, identity, role, event, authorizesDeletes, filters }: Audience): string {
  return `${table.oid} ${identity?.key ?? role} ${event} ${authorizesDeletes} ${signatureOf(filters)}`
}

/** Equal for the same audience of this version of the table. Many are kept, so it does not hold the claims. */
export function shortKey({ identity, role, event, authorizesDeletes, filters }: Audience): string {
  return `${identity === null ? role : identity.id} ${identity === null} ${event} ${authorizesDeletes} ${signatureOf(filters)}`
}

/** The audience of the subscription, without members. */
export function audienceFor(
  { entry: { event }, channel }: Subscription,
  filters: readonly PreparedFilter[],
  table: CatalogTable,
  role: CatalogRole,
  identities: Identities,
): Audience {
  const { authorizesDeletes } = channel
  const { claims } = channel.identity
  const isChecked = table.rowSecurity && table.roles.get(role.name)?.bypassesRowSecurity !== true
  const identity = isChecked ? identities.of(role.name, claims, table.claims) : null
  const fault = faultFor(table, role, filters)
  const ownerColumn = identity === null || fault !== null ? undefined : table.ownerColumns.get(role.name)
  const uid = uidOf(claims)
  const owner = ownerColumn === undefined || uid === null ? null : { column: ownerColumn, value: uid }
  return {
    ...{ table, role: role.name, identity, event, filters, authorizesDeletes, fault, owner },
    lookup: fault === null ? lookupFor(filters) : null,
    members: new Set(),
  }
}

function faultFor(table: CatalogTable, { name }: CatalogRole, filters: readonly PreparedFilter[]): Audience['fault'] {
  const reads = (column: string): boolean => table.columns.some((each) => each.name === column && each.rolesWithSelect.has(name))
  if (!table.primaryKey.every((column) => reads(column.name)) || !filters.every(({ column }) => reads(column.name))) return 'unauthorized'
  return table.primaryKey.length === 0 ? 'no-primary-key' : null
}

function lookupFor(filters: readonly PreparedFilter[]): Audience['lookup'] {
  for (const filter of filters) {
    const values = lookupValues(filter)
    if (values !== null) return { column: filter.column.name, values }
  }
  return null
}
