import { Identities } from '../catalog/identity.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { PublishedTable, CatalogRole, CatalogTable } from '../catalog/catalog-table.ts'
import type { CatalogPort } from '../catalog/catalog-port.ts'
import { isMessageTable, type Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Batch } from './batch.ts'
import type { FeedChannel } from './feed-channel.ts'
import { DepartedTables } from './departed-tables.ts'
import type { Subscription } from './audience.ts'
import { mayName, oidsBy } from './request/change-entry.ts'
import { planTable, refitFilters } from './subscribe-plan.ts'
import { TableSubscriptions } from './table-subscriptions.ts'

/** Which channels watch which tables, and what the catalog says of these. */
export class Subscriptions {
  readonly channels: Set<FeedChannel> = new Set()
  readonly #database: CatalogPort
  readonly #identities = new Identities()
  readonly #tables = new Map<number, TableSubscriptions>()
  readonly #departed = new DepartedTables()
  /** Versions of tables, as the stream describes them, for which channels were planned. */
  readonly #planned = new WeakSet<Table>()
  /** Tables, by oid, for which not all channels could be planned: these miss changes. */
  readonly #unread = new Map<number, Table>()

  /** Tables, and new versions of tables, for which subscriptions of planned channels were looked for; with their number. */
  readonly #newcomers = new Map<number, { readonly table: Table; readonly number: number }>()
  #newcomerCount = 0

  constructor(database: CatalogPort) {
    this.#database = database
  }

  /** Grows with every table that comes, and every new version of one. For {@link hasNewcomer}. */
  get newcomerCount(): number {
    return this.#newcomerCount
  }

  /** Whether a table has come since then that the channel names, and that is not among those it was planned with. */
  hasNewcomer(since: number, channel: FeedChannel, planned: readonly Subscription[]): boolean {
    if (this.#newcomerCount === since) return false
    const oids = new Set(planned.map(({ oid }) => oid))
    for (const { table, number } of this.#newcomers.values())
      if (number > since && !oids.has(table.oid) && channel.mayWatch(table)) return true
    return false
  }

  tableOf(oid: number): CatalogTable | null {
    return this.#tables.get(oid)?.table ?? null
  }

  subscriptionsOf(oid: number): Iterable<Subscription> {
    return this.#tables.get(oid)?.subscriptions ?? []
  }

  match(change: RowChange, batch: Batch): void {
    if (change.action !== 'TRUNCATE') this.#tables.get(change.table.oid)?.match(change, batch)
  }

  /** A subscription that stays is kept as it is: changes may be on their way to it. */
  replace(channel: FeedChannel, subscriptions: readonly Subscription[], published: readonly PublishedTable[]): void {
    const known = new Map([...channel.subscriptions].map((each) => [keyOf(each), each]))
    const wanted = new Map(subscriptions.map((each) => [keyOf(each), each]))
    const unnamed = [...known].flatMap(([key, each]) => (wanted.has(key) ? [] : [each]))
    for (const each of unnamed) this.#dropUnnamed(each, published)
    // Changes of the dropped tables may still be undelivered.
    if (unnamed.length > 0) channel.gap('publication-changed')
    for (const [key, each] of wanted) {
      const kept = known.get(key)
      if (kept === undefined) this.#add(each)
      else this.#departed.rename(kept, each.tableName)
    }
  }

  remove(channel: FeedChannel): void {
    this.channels.delete(channel)
    // A replaying channel resumes when it is accepted again.
    if (channel.isBehind && channel.state.kind === 'live') channel.gap('withheld')
    for (const subscription of channel.subscriptions) this.#drop(subscription)
    channel.releaseTables()
  }

  rebind(channel: FeedChannel): void {
    for (const subscription of channel.subscriptions) this.#tables.get(subscription.oid)?.rebind(subscription)
  }

  markStale(oid: number): void {
    const known = this.#tables.get(oid)
    if (known?.state === 'loaded') known.state = 'stale'
  }

  markAllStale(): void {
    for (const oid of this.#tables.keys()) this.markStale(oid)
  }

  isPrepared(table: Table): boolean {
    if (isMessageTable(table)) return true
    const known = this.#tables.get(table.oid)
    return this.#planned.has(table) && (known === undefined || (known.described === table && known.state !== 'stale'))
  }

  /** Before the first change of a version of a table is matched: plans its subscriptions, and prepares their filters for it. */
  async prepare(table: Table): Promise<void> {
    if (!this.#planned.has(table)) {
      this.#newcomers.set(table.oid, { table, number: ++this.#newcomerCount })
      this.#dropRenamed(table)
      await this.#findNewcomers(table, null)
    }
    await this.#load(table.oid)
    this.#tables.get(table.oid)?.describe(table)
    this.#planned.add(table)
  }

  /** Whether changes of a table are matched with nothing, since it could not be loaded. */
  get hasAside(): boolean {
    return this.#unread.size > 0 || [...this.#tables.values()].some(({ state }) => state === 'aside')
  }

  /** Loads tables again that were set aside. A table that fails again stays aside. */
  async takeBack(): Promise<void> {
    const unread = [...this.#unread.values()]
    const readAgain = async (table: Table): Promise<void> => {
      await this.#findNewcomers(table, null)
      this.#unread.delete(table.oid)
    }
    for (const table of unread) await readAgain(table).catch(() => {})
    const aside = [...this.#tables.values()].filter(({ state }) => state === 'aside')
    for (const { oid } of aside) await this.#read(oid).catch(() => {})
    this.#release([...unread, ...aside].map(({ oid }) => oid))
  }

  /** Notifies the channels from which changes of these tables were withheld, save for tables of which they still are. */
  #release(oids: Iterable<number>): void {
    const released = [...oids].filter((oid) => !this.#unread.has(oid) && this.#tables.get(oid)?.isUnreadable !== true)
    for (const channel of this.channels) if (released.filter((oid) => channel.release(oid)).length > 0) channel.gap('withheld')
  }

  async loadStale(oids: Iterable<number>): Promise<void> {
    for (const oid of new Set(oids)) if (this.#tables.get(oid)?.state === 'stale') await this.#load(oid)
  }

  /** The table cannot be loaded. Its changes are dropped until `takeBack` can load it, and then its channels are notified of the gap. */
  setAside(table: Table): FeedChannel[] {
    const { oid } = table
    if (!this.#planned.has(table)) {
      this.#unread.set(oid, table)
      for (const channel of this.channels) if (channel.isPlanned && channel.mayWatch(table)) channel.withhold(oid)
    }
    const known = this.#tables.get(oid)
    known?.load(null, new Map())
    known?.describe(table)
    if (known !== undefined) known.state = 'aside'
    this.#planned.add(table)
    const channels = new Set([...(known?.subscriptions ?? [])].map(({ channel }) => channel))
    for (const channel of channels) channel.withhold(oid)
    return [...channels]
  }

  /**
   * Tables left the publication, or came back: their channels are notified of both, and everything else goes on. `endOfTurn` ends a turn of
   * the event loop: many channels may watch a table that is dropped.
   */
  async followPublication(published: readonly PublishedTable[], endOfTurn: () => Promise<void>): Promise<void> {
    const oidsOf = oidsBy(published)
    let done = 0
    const kept: Subscription[] = []
    for (const { oid, subscriptions } of [...this.#tables.values()]) {
      for (const subscription of [...subscriptions]) {
        if (oidsOf(subscription.entry).has(oid)) {
          kept.push(subscription)
          continue
        }
        if (subscriptions.has(subscription)) this.#dropUnnamed(subscription, published)
        if (++done % 500 === 0) await endOfTurn()
      }
    }
    const byOid = new Map(published.map((table) => [table.oid, table]))
    const names = new Map(published.map(({ oid, schema, name }) => [oid, `${schema}.${name}`]))
    for (const subscription of kept) this.#departed.rename(subscription, names.get(subscription.oid)!)
    const wanted = new Set<number>()
    for (const channel of this.channels) {
      if (!channel.isPlanned) continue
      const watched = new Set([...channel.subscriptions].map(({ oid }) => oid))
      for (const entry of channel.entries) for (const oid of oidsOf(entry)) if (!watched.has(oid)) wanted.add(oid)
    }
    for (const oid of wanted) await this.#findNewcomers(byOid.get(oid)!, published)
  }

  #dropUnnamed(subscription: Subscription, published: readonly PublishedTable[]): void {
    const table = published.find(({ oid }) => oid === subscription.oid)
    // A table of exactly this name is there now: the name is no pattern any more.
    if (table !== undefined && mayName(subscription.entry, table)) this.#dropPending(subscription)
    else this.#leaves(subscription)
  }

  #leaves(subscription: Subscription): void {
    this.#dropPending(subscription)
    this.#departed.leaves(subscription)
  }

  #dropPending(subscription: Subscription): void {
    // Changes of the table that are pending for the channel will find no subscription.
    if (subscription.channel.isBehind) subscription.channel.gap('publication-changed')
    this.#drop(subscription)
  }

  #drop(subscription: Subscription): void {
    const { channel, oid } = subscription
    channel.subscriptions.delete(subscription)
    const table = this.#tables.get(oid)
    table?.delete(subscription)
    if (!channel.closed && channel.isIncomplete) this.#releaseDropped(subscription)
    if (table === undefined || table.subscriptions.size > 0) return
    this.#tables.delete(oid)
    // Channels without a subscription may be marked as well, since one of their entries may name the table.
    if (table.isUnreadable) this.#release([oid])
  }

  /** Announces the gap of changes that were withheld from a subscription that is dropped. */
  #releaseDropped(subscription: Subscription): void {
    const { channel, oid } = subscription
    const isLast = !this.#unread.has(oid) && ![...channel.subscriptions].some((each) => each.oid === oid)
    const withheldBy = isLast ? [subscription, oid] : [subscription]
    if (withheldBy.filter((by) => channel.release(by)).length > 0) channel.gap('withheld')
  }

  #add(subscription: Subscription): void {
    const table = getOrMake(this.#tables, subscription.oid, () => new TableSubscriptions(subscription.oid, this.#identities))
    subscription.channel.subscriptions.add(subscription)
    table.add(subscription)
    if (table.isUnreadable) subscription.channel.withhold(table.oid)
    this.#departed.returns(subscription)
  }

  /** Rows of a renamed table do not reach its old name. */
  #dropRenamed(table: Table): void {
    const tableName = `${table.schema}.${table.name}`
    for (const subscription of [...this.subscriptionsOf(table.oid)])
      if (mayName(subscription.entry, table)) this.#departed.rename(subscription, tableName)
      else this.#leaves(subscription)
  }

  async #load(oid: number): Promise<void> {
    if (await this.#read(oid)) this.#release([oid])
  }

  /** Returns whether the table had been set aside. */
  async #read(oid: number): Promise<boolean> {
    const known = this.#tables.get(oid)
    if (known === undefined) return false
    const names = [...new Set([...known.subscriptions].map(({ channel }) => channel.identity.role))]
    const [tables, roles] = await Promise.all([
      this.#database.tables([oid], names),
      Promise.all(names.map((name) => this.#database.role(name))),
    ])
    const table = tables.get(oid) ?? null
    if (table !== null) await refitFilters(known.subscriptions, table, this.#database)
    const wasAside = known.state === 'aside'
    known.load(table, new Map(roles.map((role): [string, CatalogRole] => [role.name, role])))
    // The table was dropped: its last changes cannot be decided. Channels are notified when their subscriptions are dropped.
    if (table === null) for (const { channel } of known.subscriptions) channel.withhold(oid)
    return wasAside
  }

  /** Channels whose entries name a table that they are not subscribed to: it is new, or has come back. */
  async #findNewcomers(table: PublishedTable, known: readonly PublishedTable[] | null): Promise<void> {
    const isMissing = (channel: FeedChannel): boolean =>
      channel.isPlanned && channel.mayWatch(table) && ![...channel.subscriptions].some(({ oid }) => oid === table.oid)
    if (![...this.channels].some(isMissing)) return
    const published = known ?? (await this.#database.publishedTables())
    const oidsOf = oidsBy(published)
    const channels = [...this.channels].filter((each) => isMissing(each) && each.entries.some((entry) => oidsOf(entry).has(table.oid)))
    if (channels.length === 0) return
    const roles = [...new Set(channels.map(({ identity }) => identity.role))]
    const loaded = (await this.#database.tables([table.oid], roles)).get(table.oid)
    if (loaded === undefined) return
    await Promise.all(
      channels.map(async (channel) => {
        const subscriptions = await planTable(channel, loaded, this.#database, (each) => oidsOf(each).has(table.oid))
        // It may have subscribed to it meanwhile.
        if (channel.closed || !isMissing(channel)) return
        // An exact name takes precedence: drops subscriptions to tables that the name matched as a pattern.
        for (const each of channel.subscriptions)
          if (oidsOf(each.entry).has(table.oid) && !oidsOf(each.entry).has(each.oid)) this.#dropUnnamed(each, published)
        for (const subscription of subscriptions) this.#add(subscription)
      }),
    )
  }
}

function keyOf({ order, oid }: Subscription): string {
  return `${order} ${oid}`
}
