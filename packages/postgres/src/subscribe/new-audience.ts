import { uidOf, type CheckIdentity, type Identities } from '../catalog/identity.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { CatalogRole, CatalogTable, TableRole } from '../catalog/catalog-table.ts'
import type { Audience, Subscription } from './audience.ts'
import { lookupValues, type PreparedFilter } from './filter-test.ts'
import type { IndexKey } from './subscription-index.ts'

/** The columns that the subscription gets. */
export function columnsFor({ select }: Subscription, entry: CatalogTable, { name }: CatalogRole): string {
  return entry.columns
    .filter(
      (column) => column.rolesWithSelect.has(name) && (select === null || select.has(column.name) || entry.primaryKey.includes(column)),
    )
    .map(({ number }) => number)
    .join()
}

/** Whose policies decide; `null`: none do. */
export function identityFor(
  { channel }: Subscription,
  entry: CatalogTable,
  access: TableRole,
  identities: Identities,
): CheckIdentity | null {
  const { role, claims } = channel.identity
  return entry.rowSecurity && !access.bypassesRowSecurity ? identities.of(role, claims, entry.claims) : null
}

const signatures = new WeakMap<readonly PreparedFilter[], string>()

/** Equal for filters that mean the same. */
export function signatureOf(filters: readonly PreparedFilter[]): string {
  return filters.length === 0
    ? ''
    : getOrMake(signatures, filters, () => JSON.stringify(filters.map(({ filter, values }) => [filter, values])))
}

/** A new audience, without members. */
export function audienceFor(
  { entry: { event }, channel }: Subscription,
  of: {
    readonly entry: CatalogTable
    readonly role: CatalogRole
    readonly identity: CheckIdentity | null
    readonly filters: readonly PreparedFilter[]
    readonly signature: string
  },
): Audience {
  const { entry, role, identity, filters, signature } = of
  const fault = faultFor(entry, role, filters)
  const ownerColumn = identity === null || fault !== null ? undefined : entry.ownerColumns.get(role.name)
  const uid = uidOf(channel.identity.claims)
  const owner = ownerColumn === undefined || uid === null ? null : { column: ownerColumn, value: uid }
  return {
    key: `${entry.oid} ${identity?.key ?? role.name} ${signature}`,
    ...{ entry, role: role.name, identity, event, filters, fault, owner },
    authorizesDeletes: channel.authorizesDeletes,
    indexKey: fault === null ? indexKeyFor(filters, owner) : null,
    members: new Set(),
  }
}

function faultFor(entry: CatalogTable, { name }: CatalogRole, filters: readonly PreparedFilter[]): Audience['fault'] {
  const reads = (column: string): boolean => entry.columns.some((each) => each.name === column && each.rolesWithSelect.has(name))
  if (!entry.primaryKey.every((column) => reads(column.name)) || !filters.every(({ column }) => reads(column.name))) return 'unauthorized'
  return entry.primaryKey.length === 0 ? 'no-primary-key' : null
}

function indexKeyFor(filters: readonly PreparedFilter[], owner: Audience['owner']): IndexKey {
  for (const filter of filters) {
    const values = lookupValues(filter)
    if (values !== null) return { column: filter.column.name, values }
  }
  return owner === null ? null : { column: owner.column, values: [owner.value] }
}
