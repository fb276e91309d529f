import type { Identities, CheckIdentity } from '../catalog/identity.ts'
import { uidOf } from '../catalog/identity.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { RoleFacts, TableEntry, TableRole } from '../catalog/table-entry.ts'
import { filterText } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { UnfilteredAudiences, type Batch } from './batch.ts'
import type { ChangeEntry } from './change-entry.ts'
import { schemaWithheld, type Advice } from './changes-fault.ts'
import { lookupValues, testFor, type PreparedFilter } from './filter-test.ts'
import { SubscriptionIndex, type ColumnText, type IndexPlace } from './subscription-index.ts'
import { faultOf, type Audience, type Subscription } from './audience.ts'

/** The subscriptions of one table, by audience. */
export class TableSubscriptions {
  readonly oid: number
  readonly subscriptions: Set<Subscription> = new Set()
  /** The table as the stream last described it. */
  table: Table | null = null
  entry: TableEntry | null = null
  /** The entry is to be loaded before the next change is matched. */
  stale = true
  /** The entry could not be loaded: nothing is matched, and its channels miss changes. */
  isAside = false
  readonly #identities: Identities
  #roles: ReadonlyMap<string, RoleFacts> = new Map()
  #audiences = new Map<CheckIdentity | string, Map<string, Audience>>()
  #unfiltered = new Map<ChangeEntry['event'], UnfilteredAudiences>()
  #byFilter = new SubscriptionIndex<Audience>('nobody')
  #byOwner = new SubscriptionIndex<Audience>('everybody')

  constructor(oid: number, identities: Identities) {
    this.oid = oid
    this.#identities = identities
  }

  add(subscription: Subscription): void {
    this.subscriptions.add(subscription)
    this.#join(subscription)
    if (this.table !== null) warnOfTable(subscription, this.table)
  }

  delete(subscription: Subscription): void {
    this.#leave(subscription)
    this.subscriptions.delete(subscription)
  }

  /** The channel has another identity, and with it another audience. */
  rebind(subscription: Subscription): void {
    this.#leave(subscription)
    this.#join(subscription)
  }

  /** The stream has described the table. */
  describe(table: Table): void {
    this.table = table
    for (const subscription of this.subscriptions) warnOfTable(subscription, table)
  }

  /** Another version of the table. Batches that are on their way keep the audiences that they were matched with. */
  load(entry: TableEntry | null, roles: ReadonlyMap<string, RoleFacts>): void {
    this.entry = entry
    this.#roles = roles
    this.stale = false
    this.#audiences = new Map()
    this.#unfiltered = new Map()
    this.#byFilter = new SubscriptionIndex('nobody')
    this.#byOwner = new SubscriptionIndex('everybody')
    for (const subscription of this.subscriptions) {
      subscription.audience = null
      this.#join(subscription)
    }
  }

  /** Adds to the batch whom the change may concern. */
  match(change: RowChange, batch: Batch): void {
    for (const event of [change.action, '*'] as const) {
      const unfiltered = this.#unfiltered.get(event as ChangeEntry['event'])
      if (unfiltered !== undefined && unfiltered.size > 0) batch.wantAll(unfiltered, change)
    }
    if (this.#byFilter.size + this.#byOwner.size === 0) return
    const found = (audience: Audience, text: ColumnText): void => {
      const outcome = matches(audience, change, text)
      if (outcome === 'yes') batch.want(audience, change)
      else if (outcome === 'ask') batch.wantApart(audience, change)
    }
    // Of a deleted row, filters of those who get only what they could see look at more than others' (rule D14).
    for (const authorized of change.action === 'DELETE' ? [false, true] : [false]) {
      const text = filterText(change, { asked: authorized, rowSecurity: this.entry?.rowSecurity ?? true })
      const wanted = (audience: Audience): boolean => change.action !== 'DELETE' || audience.authorizesDeletes === authorized
      for (const audience of this.#byFilter.candidates(text)) if (wanted(audience)) found(audience, text)
      const owner: ColumnText = change.action === 'DELETE' ? () => undefined : text
      for (const audience of this.#byOwner.candidates(owner)) if (wanted(audience)) found(audience, text)
    }
  }

  #join(subscription: Subscription): void {
    const { entry } = this
    const role = this.#roles.get(subscription.channel.identity.role)
    if (entry === null || role === undefined) {
      this.stale ||= entry !== null
      return
    }
    if (subscription.filters === null || !role.allowed) return
    const access = entry.roles.get(role.name)
    if (access === undefined || access.superuser || !access.usesSchema) return warn(subscription, schemaWithheld(entry, role.name))
    subscription.columns = columnsFor(subscription, entry, role)
    const identity = identityFor(subscription, entry, access, this.#identities)
    const ofIdentity = getOrMake(this.#audiences, identity ?? role.name, () => new Map<string, Audience>())
    const signature = `${subscription.entry.event} ${subscription.channel.authorizesDeletes} ${signatureOf(subscription.filters)}`
    let audience = ofIdentity.get(signature)
    if (audience === undefined) {
      audience = audienceFor(subscription, { entry, role, identity, filters: subscription.filters, signature })
      ofIdentity.set(signature, audience)
      if (isUnfiltered(audience)) this.#unfilteredOf(audience).audiences.add(audience)
      else this.#indexOf(audience).add(audience, audience.place)
    }
    audience.members.add(subscription)
    if (isUnfiltered(audience)) this.#unfilteredOf(audience).size++
    subscription.audience = audience
  }

  #leave(subscription: Subscription): void {
    const { audience } = subscription
    if (audience === null) return
    subscription.audience = null
    audience.members.delete(subscription)
    if (isUnfiltered(audience)) this.#unfilteredOf(audience).size--
    if (audience.members.size > 0) return
    const ofIdentity = this.#audiences.get(audience.identity ?? audience.role)
    for (const [signature, each] of ofIdentity ?? []) if (each === audience) ofIdentity!.delete(signature)
    if (ofIdentity?.size === 0) this.#audiences.delete(audience.identity ?? audience.role)
    if (isUnfiltered(audience)) this.#unfilteredOf(audience).audiences.delete(audience)
    else this.#indexOf(audience).delete(audience, audience.place)
  }

  #unfilteredOf({ event }: Audience): UnfilteredAudiences {
    return getOrMake(this.#unfiltered, event, () => new UnfilteredAudiences())
  }

  #indexOf({ owner, place }: Audience): SubscriptionIndex<Audience> {
    return owner !== null && place?.column === owner.column && place.values[0] === owner.value ? this.#byOwner : this.#byFilter
  }
}

/** Nothing but Postgres can tell which rows are for it. */
function isUnfiltered({ filters, fault, owner }: Audience): boolean {
  return (filters.length === 0 && owner === null) || fault === 'unauthorized'
}

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

/** Under policies an old row is delivered by its key, which the log may not hold (rule D15). */
function warnOfKey({ channel, entry, audience }: Subscription, table: Table): void {
  const missing = table.primaryKey.filter(({ identity }) => !identity).map(({ name }) => name)
  if (missing.length === 0 || audience === null || audience.identity === null || (entry.event !== '*' && entry.event !== 'DELETE')) return
  channel.warnOnce(
    `Deletes of ${table.schema}.${table.name} come without ${missing.join(', ')}: its replica identity does not hold the primary key`,
    { code: 'changes-withheld', hint: `alter table ${table.schema}.${table.name} replica identity default;` },
  )
}

function warn({ channel }: Subscription, { message, fault }: Advice): void {
  channel.warnOnce(message, fault)
}

function warnOfTable(subscription: Subscription, table: Table): void {
  warnOfFilters(subscription, table)
  warnOfKey(subscription, table)
}

/** A filter on a column that the stream does not have lets nothing pass (rule D15). */
function warnOfFilters({ channel, filters }: Subscription, table: Table): void {
  for (const { column } of filters ?? []) {
    if (!table.columns.some(({ name, tupleIndex }) => name === column.name && tupleIndex === null)) continue
    channel.warnOnce(
      `Changes of ${table.schema}.${table.name} are withheld: the publication leaves out ${column.name}, which your filter looks at`,
      { code: 'filter-not-published', hint: `Publish ${column.name} as well, or filter by another column.` },
    )
  }
}

function columnsFor({ select }: Subscription, entry: TableEntry, { name }: RoleFacts): string {
  return entry.columns
    .filter(
      (column) => column.rolesWithSelect.has(name) && (select === null || select.has(column.name) || entry.primaryKey.includes(column)),
    )
    .map(({ number }) => number)
    .join()
}

function identityFor({ channel }: Subscription, entry: TableEntry, access: TableRole, identities: Identities): CheckIdentity | null {
  const { role, claims } = channel.identity
  return entry.rowSecurity && !access.bypassesRowSecurity ? identities.of(role, claims, entry.claims) : null
}

const signatures = new WeakMap<readonly PreparedFilter[], string>()

function signatureOf(filters: readonly PreparedFilter[]): string {
  return filters.length === 0
    ? ''
    : getOrMake(signatures, filters, () => JSON.stringify(filters.map(({ filter, values }) => [filter, values])))
}

function audienceFor(
  { entry: { event }, channel }: Subscription,
  of: {
    readonly entry: TableEntry
    readonly role: RoleFacts
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
    place: fault === null ? placeFor(filters, owner) : null,
    members: new Set(),
  }
}

function faultFor(entry: TableEntry, { name }: RoleFacts, filters: readonly PreparedFilter[]): Audience['fault'] {
  const reads = (column: string): boolean => entry.columns.some((each) => each.name === column && each.rolesWithSelect.has(name))
  if (!entry.primaryKey.every((column) => reads(column.name)) || !filters.every(({ column }) => reads(column.name))) return 'unauthorized'
  return entry.primaryKey.length === 0 ? 'no-primary-key' : null
}

function placeFor(filters: readonly PreparedFilter[], owner: Audience['owner']): IndexPlace {
  for (const filter of filters) {
    const values = lookupValues(filter)
    if (values !== null) return { column: filter.column.name, values }
  }
  return owner === null ? null : { column: owner.column, values: [owner.value] }
}
