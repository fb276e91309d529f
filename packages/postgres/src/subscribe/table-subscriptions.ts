import type { Identities } from '../catalog/identity.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { CatalogRole, CatalogTable } from '../catalog/catalog-table.ts'
import { filterText, type ColumnText } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { AudienceGroup, groupKey } from './audience-group.ts'
import type { Batch } from './batch.ts'
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
  readonly #groups = new Map<string, AudienceGroup>()
  #byFilter = new SubscriptionIndex<AudienceGroup>('none')
  /** Each user is an owner of their own, so these are not grouped. */
  #byOwner = new SubscriptionIndex<Audience>('all')

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

  /** The channel has another identity, and with it another audience. */
  rebind(subscription: Subscription): void {
    this.#leave(subscription)
    this.#join(subscription)
  }

  /** The stream has described the table. */
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
    this.#groups.clear()
    this.#byFilter = new SubscriptionIndex('none')
    this.#byOwner = new SubscriptionIndex('all')
    for (const subscription of this.subscriptions) {
      subscription.audience = null
      this.#join(subscription)
      warnOfDeletes(subscription)
    }
  }

  /** Adds to the batch the audiences that the change may concern. */
  match(change: RowChange, batch: Batch): void {
    if (this.#byFilter.size + this.#byOwner.size === 0) return
    // Of a deleted row, filters of those who get only what they could see look at more than others' (rule D14).
    for (const authorized of change.action === 'DELETE' ? [false, true] : [false]) {
      const text = filterText(change, { asked: authorized, rowSecurity: this.table?.rowSecurity ?? true })
      const verdictFor = (audience: Audience): 'yes' | 'no' | 'ask' =>
        change.action === 'DELETE' && audience.authorizesDeletes !== authorized ? 'no' : matches(audience, change, text)
      for (const group of this.#byFilter.candidates(text)) {
        const verdict = verdictFor(group.like)
        if (verdict !== 'no') batch.wantAll(group, change, verdict)
      }
      const owner: ColumnText = change.action === 'DELETE' ? () => undefined : text
      for (const audience of this.#byOwner.candidates(owner)) {
        const verdict = verdictFor(audience)
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
    const audience = audienceFor(subscription, { table, role, filters: subscription.filters, identities: this.#identities })
    subscription.audience = getOrMake(this.#audiences, shortKey(audience), () => {
      if (isOwned(audience)) this.#byOwner.add(audience, audience.indexKey)
      else this.#groupOf(audience).audiences.add(audience)
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
    if (isOwned(audience)) return this.#byOwner.delete(audience, audience.indexKey)
    const group = this.#groupOf(audience)
    group.audiences.delete(audience)
    if (group.audiences.size > 0) return
    this.#groups.delete(groupKey(audience))
    this.#byFilter.delete(group, audience.indexKey)
  }

  #groupOf(audience: Audience): AudienceGroup {
    return getOrMake(this.#groups, groupKey(audience), () => {
      const group = new AudienceGroup(audience)
      this.#byFilter.add(group, audience.indexKey)
      return group
    })
  }
}

/** Found by the owner of a row, and not by its filters. */
function isOwned({ indexKey }: Audience): boolean {
  return indexKey?.isOwner === true
}
