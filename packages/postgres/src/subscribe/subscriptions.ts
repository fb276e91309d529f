import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { filterText } from '../decide/change-row.ts'
import type { Crowd } from '../decide/crowd.ts'
import { isAuthorizedDelete, type FeedChannel, type Subscription } from './feed-channel.ts'
import type { ColumnText } from './subscription-index.ts'
import type { FeedDatabase } from '../decide/feed-database.ts'
import { Identities } from '../catalog/identity.ts'
import { nameMatches } from '@tidewire/protocol'
import { tablesOf, type ChangeEntry } from './change-entry.ts'
import { planTable } from './subscribe-plan.ts'
import type { RoleFacts, TableEntry } from '../catalog/table-entry.ts'
import { TableFeed } from './table-feed.ts'

/** Which channels watch which tables, and what the catalog says of these. */
export class Subscriptions {
  readonly channels: Set<FeedChannel> = new Set()
  readonly #database: FeedDatabase
  readonly #identities = new Identities()
  readonly #tables = new Map<number, TableFeed>()
  /** Tables, as described by the stream, whose newcomers were found. */
  readonly #seen = new WeakSet<Table>()

  constructor(database: FeedDatabase) {
    this.#database = database
  }

  entryOf(oid: number): TableEntry | null {
    return this.#tables.get(oid)?.entry ?? null
  }

  /** Those that the change may concern, as far as it can be told here; of new rows, without the table's crowd. */
  candidates(change: RowChange): Iterable<Subscription> {
    return this.#tables.get(change.table.oid)?.candidates(change) ?? []
  }

  /** Those that Postgres is asked about for all new rows of the table. */
  crowdOf(oid: number): Crowd | null {
    return this.#tables.get(oid)?.crowd ?? null
  }

  /** What the subscription's filters may look at. */
  filterTextOf(subscription: Subscription, change: RowChange): ColumnText {
    const rowSecurity = this.entryOf(subscription.oid)?.rowSecurity ?? false
    return filterText(change, { asked: isAuthorizedDelete(subscription, change), rowSecurity })
  }

  replace(channel: FeedChannel, subscriptions: readonly Subscription[]): void {
    // One that stays is kept as it is: changes may be on their way to it.
    const known = new Set([...channel.subscriptions].map(keyOf))
    const wanted = new Set(subscriptions.map(keyOf))
    for (const subscription of channel.subscriptions) if (!wanted.has(keyOf(subscription))) this.#drop(subscription)
    for (const subscription of subscriptions) if (!known.has(keyOf(subscription))) this.#add(subscription)
    if (channel.isSubscribed || channel.request.since === null) channel.live = true
  }

  remove(channel: FeedChannel): void {
    this.channels.delete(channel)
    this.replace(channel, [])
  }

  /** The channel has another identity: what is decided from now on is decided for that one. */
  rebind(channel: FeedChannel): void {
    for (const subscription of channel.subscriptions) this.#tables.get(subscription.oid)?.rebind(subscription)
  }

  /** The table's entry is to be loaded again before its next change is looked at. */
  markStale(oid: number): void {
    const feed = this.#tables.get(oid)
    if (feed !== undefined) feed.stale = true
  }

  markAllStale(): void {
    for (const feed of this.#tables.values()) feed.stale = true
  }

  /** Whether changes of the table can be looked at as it is. */
  isPrepared(table: Table): boolean {
    const feed = this.#tables.get(table.oid)
    return this.#seen.has(table) && (feed === undefined || (feed.table === table && !feed.stale))
  }

  /** Before the changes of a table are looked at: who wants them, and what the catalog says of it now. */
  async prepare(table: Table): Promise<void> {
    if (!this.#seen.has(table)) await this.#findNewcomers(table)
    await this.#loadEntry(table.oid, table)
    this.#seen.add(table)
  }

  async loadStale(oids: readonly number[]): Promise<void> {
    for (const oid of new Set(oids)) if (this.#tables.get(oid)?.stale === true) await this.#loadEntry(oid, null)
  }

  #drop(subscription: Subscription): void {
    subscription.channel.subscriptions.delete(subscription)
    const feed = this.#tables.get(subscription.oid)
    feed?.delete(subscription)
    if (feed?.subscriptions.size === 0) this.#tables.delete(subscription.oid)
  }

  #add(subscription: Subscription): void {
    let feed = this.#tables.get(subscription.oid)
    if (feed === undefined) this.#tables.set(subscription.oid, (feed = new TableFeed(subscription.oid, this.#identities)))
    subscription.channel.subscriptions.add(subscription)
    feed.add(subscription)
  }

  async #loadEntry(oid: number, table: Table | null): Promise<void> {
    const feed = this.#tables.get(oid)
    if (feed === undefined) return
    const names = [...new Set([...feed.subscriptions].map(({ channel }) => channel.identity.role))]
    const [entries, roles] = await Promise.all([this.#database.tables([oid], names), this.#rolesOf(names)])
    feed.load(entries.get(oid) ?? null, roles)
    if (table !== null) feed.describe(table)
  }

  async #rolesOf(names: readonly string[]): Promise<Map<string, RoleFacts>> {
    const roles = new Map<string, RoleFacts>()
    for (const facts of await Promise.all(names.map((name) => this.#database.role(name)))) if (facts.allowed) roles.set(facts.name, facts)
    return roles
  }

  /** Channels whose entries name a table that they are not subscribed to: it is new, or was made again. */
  async #findNewcomers(table: Table): Promise<void> {
    const fits = (entry: ChangeEntry): boolean => nameMatches(entry.schema, table.schema) && nameMatches(entry.table, table.name)
    const missing = [...this.channels].filter(
      (channel) =>
        (channel.after !== null || channel.subscriptions.size > 0) &&
        channel.entries.some(fits) &&
        ![...channel.subscriptions].some(({ oid }) => oid === table.oid),
    )
    if (missing.length === 0) return
    const published = await this.#database.publishedTables()
    const oids = new Map<ChangeEntry, ReadonlySet<number>>()
    for (const entry of missing.flatMap(({ entries }) => entries))
      oids.set(entry, new Set(fits(entry) ? tablesOf(entry, published).map(({ oid }) => oid) : []))
    const roles = [...new Set(missing.map(({ identity }) => identity.role))]
    const entry = (await this.#database.tables([table.oid], roles)).get(table.oid)
    if (entry === undefined) return
    await Promise.all(
      missing.map(async (channel) => {
        const subscriptions = await planTable(channel, entry, this.#database, (each) => oids.get(each)?.has(table.oid) === true)
        if (channel.closed) return
        // What a name meant as a pattern, it does not mean any more once a table has it.
        for (const subscription of channel.subscriptions)
          if (oids.get(subscription.entry)?.has(table.oid) === true && !oids.get(subscription.entry)!.has(subscription.oid))
            this.#drop(subscription)
        // It may have subscribed to it meanwhile.
        const known = new Set([...channel.subscriptions].map(keyOf))
        for (const subscription of subscriptions) if (!known.has(keyOf(subscription))) this.#add(subscription)
      }),
    )
  }
}

function keyOf({ order, oid }: Subscription): string {
  return `${order} ${oid}`
}
