import type { Identities } from '../catalog/identity.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { CatalogRole, CatalogTable } from '../catalog/catalog-table.ts'
import { filterText } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { UnfilteredAudiences, type Batch } from './batch.ts'
import type { ChangeEntry } from './request/change-entry.ts'
import { audienceFor, columnsFor, shortKey, type Audience, type Subscription } from './audience.ts'
import { schemaWithheld } from './request/changes-fault.ts'
import { matches } from './matches.ts'
import { SubscriptionIndex } from './subscription-index.ts'
import { warnOfDeletes, warnOfTable } from './table-warnings.ts'

/** The subscriptions of one table, by audience. */
export class TableSubscriptions {
  readonly oid: number
  readonly subscriptions: Set<Subscription> = new Set()
  /** The table as the stream last described it. */
  described: Table | null = null
  table: CatalogTable | null = null
  /** `stale`: it is to be loaded before its next change is matched. `aside`: it could not be; its channels miss changes. */
  state: 'stale' | 'loaded' | 'aside' = 'stale'
  readonly #identities: Identities
  #roles: ReadonlyMap<string, CatalogRole> = new Map()
  readonly #audiences = new Map<string, Audience>()
  #unfiltered = new Map<ChangeEntry['event'], UnfilteredAudiences>()
  #index = new SubscriptionIndex()

  constructor(oid: number, identities: Identities) {
    this.oid = oid
    this.#identities = identities
  }

  add(subscription: Subscription): void {
    this.subscriptions.add(subscription)
    this.#join(subscription)
    if (this.described !== null) warnOfTable(subscription, this.described)
  }

  delete(subscription: Subscription): void {
    this.#leave(subscription)
    this.subscriptions.delete(subscription)
  }

  rebind(subscription: Subscription): void {
    this.#leave(subscription)
    this.#join(subscription)
  }

  describe(table: Table): void {
    this.described = table
    for (const subscription of this.subscriptions) warnOfTable(subscription, table)
  }

  /** Another version of the table. Batches that are on their way keep the audiences that they were matched with. */
  load(table: CatalogTable | null, roles: ReadonlyMap<string, CatalogRole>): void {
    this.table = table
    this.#roles = roles
    this.state = 'loaded'
    this.#audiences.clear()
    this.#unfiltered = new Map()
    this.#index = new SubscriptionIndex()
    for (const subscription of this.subscriptions) {
      subscription.audience = null
      this.#join(subscription)
      warnOfDeletes(subscription)
    }
  }

  match(change: RowChange, batch: Batch): void {
    for (const event of [change.action, '*'] as const) {
      const unfiltered = this.#unfiltered.get(event as ChangeEntry['event'])
      if (unfiltered !== undefined && unfiltered.audiences.size > 0) batch.wantAll(unfiltered, change)
    }
    if (this.#index.size === 0) return
    const isDelete = change.action === 'DELETE'
    // Of a deleted row, filters of those who get only what they could see look at more than others' (rule D14).
    for (const authorized of isDelete ? [false, true] : [false]) {
      const text = filterText(change, { asked: authorized, rowSecurity: this.table?.rowSecurity ?? true })
      for (const audience of this.#index.candidates(text, isDelete ? () => undefined : text)) {
        if (isDelete && audience.authorizesDeletes !== authorized) continue
        const verdict = matches(audience, change, text)
        if (verdict !== 'no') batch.want(audience, change, verdict)
      }
    }
  }

  #join(subscription: Subscription): void {
    const { table } = this
    const role = this.#roles.get(subscription.channel.identity.role)
    if (table === null || role === undefined) {
      if (table !== null) this.state = 'stale'
      return
    }
    if (subscription.filters === null || !role.allowed) return
    const access = table.roles.get(role.name)
    if (access === undefined || access.superuser || !access.usesSchema)
      return subscription.channel.warnOnce(schemaWithheld(table, role.name))
    subscription.columns = columnsFor(subscription, table, role)
    const audience = audienceFor(subscription, subscription.filters, table, role, this.#identities)
    subscription.audience = getOrMake(this.#audiences, shortKey(audience), () => {
      if (isUnfiltered(audience)) this.#unfilteredOf(audience).audiences.add(audience)
      else this.#index.add(audience)
      return audience
    })
    subscription.audience.members.add(subscription)
  }

  #leave(subscription: Subscription): void {
    const { audience } = subscription
    if (audience === null) return
    subscription.audience = null
    audience.members.delete(subscription)
    if (audience.members.size > 0) return
    this.#audiences.delete(shortKey(audience))
    if (isUnfiltered(audience)) this.#unfilteredOf(audience).audiences.delete(audience)
    else this.#index.delete(audience)
  }

  #unfilteredOf({ event }: Audience): UnfilteredAudiences {
    return getOrMake(this.#unfiltered, event, () => new UnfilteredAudiences())
  }
}

/** Only Postgres can decide which rows are for it. */
function isUnfiltered({ filters, fault, owner }: Audience): boolean {
  return (filters.length === 0 && owner === null) || fault === 'unauthorized'
}
