import type { Column, Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { filterText } from '../decide/change-row.ts'
import { Crowd, isOfCrowd } from '../decide/crowd.ts'
import { isAuthorizedDelete, type Binding, type Subscription } from './feed-channel.ts'
import { keyWithheld, schemaWithheld } from './changes-fault.ts'
import { schemaWithheldText } from './withheld-text.ts'
import { lookupValues } from './filter-test.ts'
import { uidOf, type Identities } from '../catalog/identity.ts'
import { SubscriptionIndex, type ColumnText, type IndexPlace } from './subscription-index.ts'
import type { RoleFacts, TableEntry, TableRole } from '../catalog/table-entry.ts'
import { TableView } from '../deliver/table-view.ts'

/** The subscriptions of one table. */
export class TableFeed {
  readonly oid: number
  readonly subscriptions: Set<Subscription> = new Set()
  /** The table as the stream last described it; a new description asks for a new entry. */
  table: Table | null = null
  entry: TableEntry | null = null
  /** The entry is to be loaded before the next change is looked at. */
  stale = true
  readonly #identities: Identities
  /** How many subscriptions get only deletes of rows that their user could see. */
  #authorizing = 0
  #roles: ReadonlyMap<string, RoleFacts> = new Map()
  #byFilter = new SubscriptionIndex<Subscription>('nobody')
  #byOwner = new SubscriptionIndex<Subscription>('everybody')
  #crowd = new Crowd()

  constructor(oid: number, identities: Identities) {
    this.oid = oid
    this.#identities = identities
  }

  add(subscription: Subscription): void {
    this.subscriptions.add(subscription)
    if (subscription.channel.authorizesDeletes) this.#authorizing++
    this.#bind(subscription)
    if (this.table === null) return
    warnOfFilters(subscription, this.table)
    warnOfKey(subscription, this.table)
  }

  /** The stream has described the table. */
  describe(table: Table): void {
    this.table = table
    for (const subscription of this.subscriptions) {
      warnOfFilters(subscription, table)
      warnOfKey(subscription, table)
    }
  }

  /** Those whom new rows concern unless Postgres says otherwise; {@link candidates} leaves them out. */
  get crowd(): Crowd {
    return this.#crowd
  }

  delete(subscription: Subscription): void {
    this.#unbind(subscription)
    if (this.subscriptions.delete(subscription) && subscription.channel.authorizesDeletes) this.#authorizing--
  }

  /** The channel has another identity. */
  rebind(subscription: Subscription): void {
    this.#unbind(subscription)
    this.#bind(subscription)
  }

  /** What the catalog says now; `null`: there is no such table. */
  load(entry: TableEntry | null, roles: ReadonlyMap<string, RoleFacts>): void {
    this.entry = entry
    this.#roles = roles
    this.stale = false
    this.#byFilter = new SubscriptionIndex('nobody')
    this.#byOwner = new SubscriptionIndex('everybody')
    // Changes may be on their way to the old one, as it was.
    this.#crowd = new Crowd()
    for (const subscription of this.subscriptions) {
      subscription.binding = null
      this.#bind(subscription)
    }
  }

  /** Those that the change may concern, filters that only the database knows aside; of new rows, without the crowd. */
  *candidates(change: RowChange): Generator<Subscription> {
    const rowSecurity = this.entry?.rowSecurity ?? false
    const text = filterText(change, { rowSecurity })
    if (change.action === 'DELETE' && this.#authorizing > 0) return yield* this.#deleteCandidates(change)
    for (const subscription of this.#byFilter.candidates(text)) if (mayConcern(subscription, change, text)) yield subscription
    const owner: ColumnText = change.action === 'DELETE' ? () => undefined : text
    for (const subscription of this.#byOwner.candidates(owner)) if (mayConcern(subscription, change, text)) yield subscription
    if (change.action !== 'DELETE') return
    for (const subscription of this.#crowd.members) if (mayConcern(subscription, change, text)) yield subscription
  }

  /** Filters of those who get only what they could see look at the whole of a deleted row, those of others at its key. */
  *#deleteCandidates(change: RowChange): Generator<Subscription> {
    for (const asked of [false, true]) {
      const text = filterText(change, { asked, rowSecurity: this.entry?.rowSecurity ?? false })
      const concerns = (subscription: Subscription): boolean =>
        isAuthorizedDelete(subscription, change) === asked && mayConcern(subscription, change, text)
      for (const subscription of this.#byFilter.candidates(text)) if (concerns(subscription)) yield subscription
      for (const subscription of this.#byOwner.candidates(() => undefined)) if (concerns(subscription)) yield subscription
      for (const subscription of this.#crowd.members) if (concerns(subscription)) yield subscription
    }
  }

  #bind(subscription: Subscription): void {
    const { entry } = this
    const role = this.#roles.get(subscription.channel.identity.role)
    if (entry === null || role === undefined) {
      this.stale ||= entry !== null
      return
    }
    const access = entry.roles.get(role.name)
    if (access === undefined || access.superuser || !access.usesSchema)
      return subscription.channel.warnOnce(schemaWithheldText(entry), schemaWithheld(entry, role.name))
    const binding = bind(subscription, entry, access, this.#identities)
    subscription.binding = binding
    if (isOfCrowd(subscription, binding)) this.#crowd.members.add(subscription)
    else this.#indexOf(binding).add(subscription, binding.place)
  }

  #unbind(subscription: Subscription): void {
    const { binding } = subscription
    if (binding === null) return
    if (!this.#crowd.members.delete(subscription)) this.#indexOf(binding).delete(subscription, binding.place)
    subscription.binding = null
  }

  #indexOf(binding: Binding): SubscriptionIndex<Subscription> {
    return binding.owner !== null && binding.place?.column === binding.owner.column && binding.place.values[0] === binding.owner.value
      ? this.#byOwner
      : this.#byFilter
  }
}

/** Under policies an old row is told by its key, which the log may not carry (rule D15). */
function warnOfKey({ channel, entry, binding }: Subscription, { schema, name, primaryKey }: Table): void {
  const missing = primaryKey.filter(({ identity }) => !identity).map((column) => column.name)
  if (missing.length === 0 || binding === null || !binding.keyOnly || entry.event === 'INSERT' || entry.event === 'UPDATE') return
  channel.warnOnce(
    `Deletes of ${schema}.${name} come without ${missing.join(', ')}: its replica identity does not hold the primary key`,
    keyWithheld({ schema, name }),
  )
}

/** A filter on a column that the stream does not have lets nothing pass: whoever set it is told (rule D15). */
function warnOfFilters({ channel, filters }: Subscription, table: Table): void {
  for (const { column } of filters) {
    if (!table.columns.some(({ name, tupleIndex }) => name === column.name && tupleIndex === null)) continue
    channel.warnOnce(
      `Changes of ${table.schema}.${table.name} are withheld: the publication leaves out ${column.name}, which your filter looks at`,
      { code: 'filter-not-published', hint: `Publish ${column.name} as well, or filter by another column.` },
    )
  }
}

/** What of a change can be decided here: everything but filters and rows that only the database can tell. */
export function mayConcern({ entry, filters, binding, channel }: Subscription, change: RowChange, text: ColumnText): boolean {
  if (binding === null || channel.closed) return false
  if (entry.event !== '*' && entry.event !== change.action) return false
  if (faultOf(binding, change) !== null) return true
  for (const { column, test } of filters) {
    const value = text(column.name)
    if (value === undefined || (test !== null && test(value) !== true)) return false
  }
  return binding.owner === null || change.action === 'DELETE' || ownedBy(text(binding.owner.column), binding.owner.value)
}

function ownedBy(text: string | null | undefined, value: string): boolean {
  return text === undefined || text === value
}

/** The error that a change brings for this role instead of its content. */
export function faultOf({ fault }: Binding, { action }: RowChange): string | null {
  if (fault === 'unauthorized') return 'Error 401: Unauthorized'
  return fault === 'no-primary-key' && action !== 'DELETE' ? 'Error 400: Bad Request, no primary key' : null
}

function bind(subscription: Subscription, entry: TableEntry, access: TableRole, identities: Identities): Binding {
  const { channel, select, filters } = subscription
  const { claims, role: name } = channel.identity
  const checked = entry.rowSecurity && !access.bypassesRowSecurity
  const fault = faultFor(entry, name, filters)
  const told = entry.columns.filter(
    (column) => column.rolesWithSelect.has(name) && (select === null || select.has(column.name) || entry.primaryKey.includes(column)),
  )
  const ownerColumn = checked ? entry.ownerColumns.get(name) : undefined
  const uid = uidOf(claims)
  const owner = ownerColumn === undefined || uid === null ? null : { column: ownerColumn, value: uid }
  return {
    role: name,
    fault,
    columns: told.map(({ number }) => number).join(),
    identity: checked ? identities.of(name, claims, entry.claims) : null,
    keyOnly: checked,
    owner,
    place: fault === null ? placeOf(filters, owner) : null,
  }
}

function faultFor(entry: TableEntry, name: string, filters: Subscription['filters']): Binding['fault'] {
  const reads = (column: string): boolean => entry.columns.some((each) => each.name === column && each.rolesWithSelect.has(name))
  if (!entry.primaryKey.every((column) => reads(column.name)) || !filters.every(({ column }) => reads(column.name))) return 'unauthorized'
  return entry.primaryKey.length === 0 ? 'no-primary-key' : null
}

function placeOf(filters: Subscription['filters'], owner: Binding['owner']): IndexPlace {
  for (const filter of filters) {
    const values = lookupValues(filter)
    if (values !== null) return { column: filter.column.name, values }
  }
  return owner === null ? null : { column: owner.column, values: [owner.value] }
}

const views = new WeakMap<Table, Map<string, TableView>>()

/** How changes of the table are written for those who are told these columns. */
export function viewOf(table: Table, columns: string): TableView {
  let known = views.get(table)
  if (known === undefined) views.set(table, (known = new Map()))
  let view = known.get(columns)
  if (view === undefined) {
    const numbers = new Set(columns.split(',').map(Number))
    view = new TableView(
      table,
      table.columns.filter((column: Column) => column.number > 0 && numbers.has(column.number)),
    )
    known.set(columns, view)
  }
  return view
}
