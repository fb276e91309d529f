import type { Identities } from '../catalog/identity.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { CatalogRole, CatalogTable } from '../catalog/catalog-table.ts'
import { filterText } from '../replication/change-row.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { AudienceGroup, groupKey } from './audience-group.ts'
import type { Batch } from './batch.ts'
import type { FeedChannel } from './feed-channel.ts'
import type { Notice } from './request/change-entry.ts'
import { audienceFor, columnsFor, shortKey, type Audience, type Subscription } from './audience.ts'
import { roleWithheld, schemaWithheld } from './request/changes-fault.ts'
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
  #index = new SubscriptionIndex()
  /** Channels whose role gets nothing of the table, with the notice that says so. */
  readonly #withheld = new WeakMap<FeedChannel, Notice>()

  constructor(oid: number, identities: Identities) {
    this.oid = oid
    this.#identities = identities
  }

  /** Its changes cannot be decided: the table could not be read, or was dropped. */
  get isUnreadable(): boolean {
    return this.state === 'aside' || (this.state === 'loaded' && this.table === null)
  }

  add(subscription: Subscription): void {
    this.subscriptions.add(subscription)
    this.#join(subscription)
    if (this.described !== null) warnOfTable(subscription, this.described)
  }

  delete(subscription: Subscription): void {
    const { channel } = subscription
    this.#leave(subscription)
    this.subscriptions.delete(subscription)
    if (!channel.closed && this.#withheld.has(channel) && ![...this.subscriptions].some((each) => each.channel === channel))
      this.#forget(channel)
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
    this.#groups.clear()
    this.#index = new SubscriptionIndex()
    for (const subscription of this.subscriptions) {
      subscription.audience = null
      this.#join(subscription)
      warnOfDeletes(subscription)
    }
  }

  match(change: RowChange, batch: Batch): void {
    if (this.#index.size === 0) return
    if (change.action !== 'DELETE') return this.#matchAll(change, false, batch)
    // With `deletes: authorized`, filters read the whole old row; otherwise only its key (rule D14).
    for (const authorized of [false, true]) this.#matchAll(change, authorized, batch)
  }

  #matchAll(change: RowChange, authorized: boolean, batch: Batch): void {
    const isDelete = change.action === 'DELETE'
    const text = filterText(change, { asked: authorized, rowSecurity: this.table?.rowSecurity ?? true })
    this.#index.visit(text, isDelete ? () => undefined : text, (found) => {
      const audience = found instanceof AudienceGroup ? found.like : found
      if (isDelete && audience.authorizesDeletes !== authorized) return
      const verdict = matches(audience, change, text)
      if (verdict === 'no') return
      if (found instanceof AudienceGroup) batch.wantAll(found, change, verdict)
      else batch.want(found, change, verdict)
    })
  }

  #join(subscription: Subscription): void {
    const { table } = this
    const role = this.#roles.get(subscription.channel.identity.role)
    if (table === null || role === undefined) {
      if (table !== null) this.state = 'stale'
      return
    }
    if (subscription.filters === null) return
    const { channel } = subscription
    if (!role.allowed) return this.#withhold(channel, roleWithheld(table, role), true)
    const access = table.roles.get(role.name)
    if (access === undefined || access.superuser || !access.usesSchema)
      return this.#withhold(channel, schemaWithheld(table, role.name), subscription.columns !== '')
    this.#returns(channel)
    subscription.columns = columnsFor(subscription, table, role)
    const audience = audienceFor(subscription, subscription.filters, table, role, this.#identities)
    const group = isFoundByOwner(audience) ? null : this.#groupOf(audience)
    subscription.audience = getOrMake(this.#audiences, shortKey(audience), () => {
      if (group === null) this.#index.add(audience, audience)
      else group.audiences.add(audience)
      return audience
    })
    subscription.audience.members.add(subscription)
    if (group !== null) group.subscriptions++
  }

  /** A channel that never had access to the table misses nothing. */
  #withhold(channel: FeedChannel, notice: Notice, hadAccess: boolean): void {
    this.#withheld.set(channel, notice)
    channel.warnOnce(notice)
    if (hadAccess) channel.withhold(this)
  }

  /** The channel's role gets the table. If it did not before, the channel missed changes, and hears of it the next time as well. */
  #returns(channel: FeedChannel): void {
    if (this.#withheld.has(channel) && !this.#forget(channel)) channel.gap('withheld')
  }

  /** Returns whether the channel missed something, and was notified of it. */
  #forget(channel: FeedChannel): boolean {
    channel.forget(this.#withheld.get(channel)!)
    this.#withheld.delete(channel)
    const missed = channel.release(this)
    if (missed) channel.gap('withheld')
    return missed
  }

  #leave(subscription: Subscription): void {
    const { audience } = subscription
    if (audience === null) return
    subscription.audience = null
    audience.members.delete(subscription)
    const group = isFoundByOwner(audience) ? null : this.#groupOf(audience)
    if (group !== null) group.subscriptions--
    if (audience.members.size > 0) return
    this.#audiences.delete(shortKey(audience))
    if (group === null) return this.#index.delete(audience, audience)
    group.audiences.delete(audience)
    if (group.audiences.size > 0) return
    this.#groups.delete(groupKey(audience))
    this.#index.delete(group, audience)
  }

  #groupOf(audience: Audience): AudienceGroup {
    return getOrMake(this.#groups, groupKey(audience), () => {
      const group = new AudienceGroup(audience)
      this.#index.add(group, audience)
      return group
    })
  }
}

/** Found by the owner of a row, and not by its filters. */
function isFoundByOwner({ lookup, owner }: Audience): boolean {
  return lookup === null && owner !== null
}
