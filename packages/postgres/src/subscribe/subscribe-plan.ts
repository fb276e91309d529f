import type { ChangesFault } from '@tidewire/protocol'
import type { Identity } from '@tidewire/server'
import { notPublishedText, refusedText, RAISED, tablesOf, type ChangeEntry, type EntryRefusal } from './request/change-entry.ts'
import { adviceFor, deletesWithheld, notPublished, schemaWithheld, type Advice } from './request/changes-fault.ts'
import type { CatalogPort } from '../catalog/catalog-port.ts'
import type { FeedChannel } from './feed-channel.ts'
import { prepareFilter, type PreparedFilter } from './filter-test.ts'
import type { Subscription } from './audience.ts'
import { conditionName } from '../catalog/sql-state.ts'
import type { CatalogRole, CatalogTable } from '../catalog/catalog-table.ts'

export type SubscribePlan =
  | {
      readonly ok: true
      readonly subscriptions: readonly Subscription[]
      readonly withheld: readonly Advice[]
      readonly advice: readonly Advice[]
    }
  | EntryRefusal

/** Finds the tables of all entries and has the database check every filter. One bad entry refuses them all (rule D4). */
export async function planSubscriptions(channel: FeedChannel, database: CatalogPort): Promise<SubscribePlan> {
  const { identity, entries } = channel
  const published = await database.publishedTables()
  const wanted = entries.map((entry) => ({ entry, tables: tablesOf(entry, published) }))
  const nowhere = wanted.find(({ tables }) => tables.length === 0)
  if (nowhere !== undefined) {
    const { entry } = nowhere
    return {
      ok: false,
      message: notPublishedText(entry),
      fault: notPublished(entry, await database.unpublishedTable(entry, identity.role)),
    }
  }
  const role = await database.role(identity.role)
  const refused = roleFault(role)
  if (refused !== null) return { ok: false, message: refusedText(entries[0]!, refused.text), fault: refused.fault }
  const oids = [...new Set(wanted.flatMap(({ tables }) => tables.map(({ oid }) => oid)))]
  const known = await database.tables(oids, [identity.role])
  const subscriptions: Subscription[] = []
  for (const [order, { entry, tables }] of wanted.entries()) {
    for (const { oid } of tables) {
      const table = known.get(oid)
      if (table === undefined) continue
      const prepared = await prepareEntry(entry, table, identity, database)
      if ('text' in prepared) return { ok: false, message: refusedText(entry, prepared.text), fault: prepared.fault }
      subscriptions.push({ channel, entry, order, oid, ...prepared, ...UNBOUND })
    }
  }
  const watched = subscriptions.filter(({ entry }) => entry.event === '*' || entry.event === 'DELETE').map(({ oid }) => known.get(oid)!)
  const closed = [...known.values()].filter(({ oid, roles }) => oids.includes(oid) && roles.get(identity.role)?.usesSchema === false)
  return {
    ok: true,
    subscriptions,
    withheld: [
      ...watched.flatMap((table) => (channel.authorizesDeletes ? (deletesWithheld(table, identity.role) ?? []) : [])),
      ...closed.map((table) => schemaWithheld(table, identity.role)),
    ],
    advice: subscriptions.flatMap((subscription) => adviceFor(subscription, known.get(subscription.oid)!, role)),
  }
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
    const prepared = await prepareEntry(entry, table, channel.identity, database)
    if ('text' in prepared) channel.warn(refusedText(entry, prepared.text), prepared.fault)
    else subscriptions.push({ channel, entry, order, oid: table.oid, ...prepared, ...UNBOUND })
  }
  return subscriptions
}

const UNBOUND = { columns: '', audience: null } as const

export interface Refused {
  /** As the reference says it. */
  readonly text: string
  readonly fault: ChangesFault
}

function roleFault({ name, exists, allowed }: CatalogRole): Refused | null {
  const quoted = JSON.stringify(name)
  const because = (hint: string): ChangesFault => ({ code: 'not-allowed', hint })
  if (!exists)
    return {
      text: sqlFault('42704', `role ${quoted} does not exist`),
      fault: because(`The token names the role ${quoted}, which the database does not have.`),
    }
  if (allowed) return null
  return {
    text: sqlFault('42501', `permission denied to set role ${quoted}`),
    fault: because(`The token names the role ${quoted}, which the server may not take: grant it to the server's login.`),
  }
}

/** What is wrong with the entry, or what the subscription is made of. */
async function prepareEntry(
  entry: ChangeEntry,
  table: CatalogTable,
  { role }: Identity,
  database: CatalogPort,
): Promise<Refused | Pick<Subscription, 'filters' | 'select'>> {
  const filters = await prepareFilters(entry, table, role, database)
  if ('text' in filters) return filters
  const unreadable = (entry.select ?? []).find((name) => readableColumn(table, name, role) === undefined)
  if (unreadable !== undefined)
    return {
      text: `${RAISED} invalid column for select ${unreadable}`,
      fault: { code: 'invalid-select', hint: `${table.schema}.${table.name} has no column ${unreadable} that the role ${role} may read.` },
    }
  return { filters, select: entry.select === null ? null : new Set(entry.select) }
}

/** The entry's filters for this version of the table, or what is wrong with them. */
export async function prepareFilters(
  entry: Pick<ChangeEntry, 'filters'>,
  table: CatalogTable,
  role: string,
  database: CatalogPort,
): Promise<Refused | readonly PreparedFilter[]> {
  const filters: PreparedFilter[] = []
  for (const filter of entry.filters) {
    const column = readableColumn(table, filter.column, role)
    if (column === undefined)
      return {
        text: `${RAISED} invalid column for filter ${filter.column}`,
        fault: {
          code: 'invalid-filter',
          hint: `${table.schema}.${table.name} has no column ${filter.column} that the role ${role} may read.`,
        },
      }
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

const NO_FILTERS: readonly PreparedFilter[] = []

function readableColumn({ columns }: CatalogTable, name: string, role: string): CatalogTable['columns'][number] | undefined {
  return columns.find((column) => column.name === name && column.rolesWithSelect.has(role))
}

function sqlFault(code: string, message: string): string {
  return `ERROR ${code} (${conditionName(code)}) ${message}`
}
