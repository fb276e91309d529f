import type { ChangesFault } from '@tidewire/protocol'
import {
  notPublishedText,
  refusedText,
  RAISED,
  tablesOf,
  type ChangeEntry,
  type EntryRefusal,
  type Notice,
} from './request/change-entry.ts'
import { adviceFor, notPublished, withheldFor } from './request/changes-fault.ts'
import type { CatalogPort } from '../catalog/catalog-port.ts'
import { getOrMake } from '../catalog/multimap.ts'
import type { FeedChannel } from './feed-channel.ts'
import { fits, prepareFilter, type PreparedFilter } from './prepared-filter.ts'
import type { Subscription } from './audience.ts'
import { roleRefusal } from '../catalog/role-rule.ts'
import { sqlErrorText } from '../catalog/sql-error.ts'
import type { CatalogRole, CatalogTable, PublishedTable } from '../catalog/catalog-table.ts'

export type SubscribePlan =
  | {
      readonly ok: true
      readonly subscriptions: readonly Subscription[]
      readonly notices: readonly Notice[]
      /** All published tables. */
      readonly published: readonly PublishedTable[]
    }
  | EntryRefusal

/** Finds the tables of all entries and has the database check every filter. One bad entry refuses them all (rule D4). */
export async function planSubscriptions(channel: FeedChannel, database: CatalogPort): Promise<SubscribePlan> {
  const { identity, entries } = channel
  const published = await database.publishedTables()
  const wanted = entries.map((entry) => ({ entry, tables: tablesOf(entry, published) }))
  const nowhere = wanted.find(({ tables }) => tables.length === 0)?.entry
  if (nowhere !== undefined) {
    const unpublished = await database.unpublishedTable(nowhere, identity.role)
    return { ok: false, message: notPublishedText(nowhere), fault: notPublished(nowhere, unpublished) }
  }
  const role = await database.role(identity.role)
  const refused = roleFault(role)
  if (refused !== null) return refusal(entries[0]!, refused)
  const oids = [...new Set(wanted.flatMap(({ tables }) => tables.map(({ oid }) => oid)))]
  const known = await database.tables(oids, [identity.role])
  const subscriptions: Subscription[] = []
  for (const [order, { entry, tables }] of wanted.entries()) {
    for (const { oid } of tables) {
      const table = known.get(oid)
      if (table === undefined) continue
      const subscription = await subscriptionOf(channel, order, table, database)
      if ('text' in subscription) return refusal(entry, subscription)
      subscriptions.push(subscription)
    }
  }
  const of = (noticesFor: typeof adviceFor): Notice[] =>
    subscriptions.flatMap((subscription) => noticesFor(subscription, known.get(subscription.oid)!, role))
  // Clients that are not of Tidewire take every error for the end of a channel.
  return { ok: true, published, subscriptions, notices: [...of(withheldFor), ...(channel.request.positions ? of(adviceFor) : [])] }
}

/** Subscriptions of a channel to a table that was published, or made, after it subscribed: those that `isNamed`. */
export async function planTable(
  channel: FeedChannel,
  table: CatalogTable,
  database: CatalogPort,
  isNamed: (entry: ChangeEntry) => boolean,
): Promise<Subscription[]> {
  const subscriptions: Subscription[] = []
  for (const [order, entry] of channel.entries.entries()) {
    if (!isNamed(entry)) continue
    const subscription = await subscriptionOf(channel, order, table, database)
    if ('text' in subscription) channel.warn(refusal(entry, subscription))
    else subscriptions.push(subscription)
  }
  return subscriptions
}

export interface Refused {
  /** As the reference says it. */
  readonly text: string
  readonly fault: ChangesFault
}

function roleFault(role: CatalogRole): Refused | null {
  const hint = roleRefusal(role)
  if (hint === null) return null
  const quoted = JSON.stringify(role.name)
  const text = role.exists
    ? sqlErrorText('42501', `permission denied to set role ${quoted}`)
    : sqlErrorText('42704', `role ${quoted} does not exist`)
  return { text, fault: { code: 'not-allowed', hint: `${hint}.` } }
}

function refusal(entry: ChangeEntry, { text, fault }: Refused): EntryRefusal {
  return { ok: false, message: refusedText(entry, text), fault }
}

async function subscriptionOf(
  channel: FeedChannel,
  order: number,
  table: CatalogTable,
  database: CatalogPort,
): Promise<Refused | Subscription> {
  const entry = channel.entries[order]!
  const { role } = channel.identity
  const filters = await prepareFilters(entry, table, role, database)
  if ('text' in filters) return filters
  const unreadable = (entry.select ?? []).find((name) => readableColumn(table, name, role) === undefined)
  if (unreadable !== undefined) return noColumn('select', unreadable, table, role)
  const select = entry.select === null ? null : new Set(entry.select)
  return { channel, entry, order, oid: table.oid, tableName: nameOf(table), select, filters, columns: '', audience: null }
}

const names = new WeakMap<CatalogTable, string>()

/** Many subscriptions share the text. */
function nameOf(table: CatalogTable): string {
  return getOrMake(names, table, () => `${table.schema}.${table.name}`)
}

export async function prepareFilters(
  entry: Pick<ChangeEntry, 'filters'>,
  table: CatalogTable,
  role: string,
  database: CatalogPort,
): Promise<Refused | readonly PreparedFilter[]> {
  const filters: PreparedFilter[] = []
  for (const filter of entry.filters) {
    const column = readableColumn(table, filter.column, role)
    if (column === undefined) return noColumn('filter', filter.column, table, role)
    const cast = await database.castFilter(filter, column)
    if (!cast.ok)
      return {
        text: cast.text,
        fault: { code: 'invalid-filter', hint: `${filter.column} is of type ${column.typeName}: change the filter's operator or value.` },
      }
    filters.push(prepareFilter(filter, column, cast.value))
  }
  return filters.length === 0 ? NO_FILTERS : filters
}

/** Filters belong to a version of the table: those on columns that changed are prepared again. */
export async function refitFilters(subscriptions: ReadonlySet<Subscription>, table: CatalogTable, database: CatalogPort): Promise<void> {
  const unfit = [...subscriptions].filter(({ filters }) => filters === null || !fits(filters, table))
  await Promise.all(
    unfit.map(async (subscription) => {
      const { channel, entry } = subscription
      const prepared = await prepareFilters(entry, table, channel.identity.role, database)
      // It may have been dropped meanwhile.
      if (!subscriptions.has(subscription)) return
      const isNews = subscription.filters !== null
      subscription.filters = 'text' in prepared ? null : prepared
      if ('text' in prepared && isNews) {
        channel.withhold(subscription)
        channel.warn({
          message: `Changes of ${nameOf(table)} are withheld: your filter does not fit the table any more`,
          fault: prepared.fault,
        })
      }
      if (subscription.filters !== null && channel.release(subscription)) channel.gap('withheld')
    }),
  )
}

const NO_FILTERS: readonly PreparedFilter[] = []

function readableColumn({ columns }: CatalogTable, name: string, role: string): CatalogTable['columns'][number] | undefined {
  return columns.find((column) => column.name === name && column.rolesWithSelect.has(role))
}

function noColumn(what: 'filter' | 'select', column: string, { schema, name }: CatalogTable, role: string): Refused {
  const hint = `${schema}.${name} has no column ${column} that the role ${role} may read.`
  return { text: `${RAISED} invalid column for ${what} ${column}`, fault: { code: `invalid-${what}`, hint } }
}
