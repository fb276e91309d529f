import type { Identity } from '@tidewire/server'
import { notPublishedText, refusedText, RAISED, tablesOf, type ChangeEntry } from './change-entry.ts'
import type { FeedDatabase } from '../decide/feed-database.ts'
import type { FeedChannel, Subscription } from './feed-channel.ts'
import { prepareFilter, type PreparedFilter } from './filter-test.ts'
import { conditionName } from '../catalog/sql-state.ts'
import type { RoleFacts, TableEntry } from '../catalog/table-entry.ts'
import { deletesWithheldText, schemaWithheldText } from './withheld-text.ts'

export type SubscribePlan =
  | { readonly ok: true; readonly subscriptions: readonly Subscription[]; readonly withheld: readonly string[] }
  | { readonly ok: false; readonly message: string }

/** Finds the tables of all entries and has the database check every filter. One bad entry refuses them all (rule D4). */
export async function planSubscriptions(channel: FeedChannel, database: FeedDatabase): Promise<SubscribePlan> {
  const { identity, entries } = channel
  const published = await database.publishedTables()
  const wanted = entries.map((entry) => ({ entry, tables: tablesOf(entry, published) }))
  const nowhere = wanted.find(({ tables }) => tables.length === 0)
  if (nowhere !== undefined) return { ok: false, message: notPublishedText(nowhere.entry) }
  const role = await database.role(identity.role)
  const fault = roleFault(role)
  if (fault !== null) return { ok: false, message: refusedText(entries[0]!, fault) }
  const oids = [...new Set(wanted.flatMap(({ tables }) => tables.map(({ oid }) => oid)))]
  const known = await database.tables(oids, [identity.role])
  const subscriptions: Subscription[] = []
  for (const [order, { entry, tables }] of wanted.entries()) {
    for (const { oid } of tables) {
      const table = known.get(oid)
      if (table === undefined) continue
      const prepared = await prepareEntry(entry, table, identity, database)
      if (typeof prepared === 'string') return { ok: false, message: refusedText(entry, prepared) }
      subscriptions.push({ channel, entry, order, oid, ...prepared, binding: null })
    }
  }
  const watched = subscriptions.filter(({ entry }) => entry.event === '*' || entry.event === 'DELETE').map(({ oid }) => known.get(oid)!)
  const withheld = watched.flatMap((entry) => (channel.authorizesDeletes ? (deletesWithheldText(entry, identity.role) ?? []) : []))
  const closed = [...known.values()].filter(({ oid, roles }) => oids.includes(oid) && roles.get(identity.role)?.usesSchema === false)
  return { ok: true, subscriptions, withheld: [...withheld, ...closed.map(schemaWithheldText)] }
}

/** Subscriptions of a channel to a table that was published, or made, after it subscribed: those that `isNamed`. */
export async function planTable(
  channel: FeedChannel,
  table: TableEntry,
  database: FeedDatabase,
  isNamed: (entry: ChangeEntry) => boolean,
): Promise<Subscription[]> {
  const subscriptions: Subscription[] = []
  for (const [order, entry] of channel.entries.entries()) {
    if (!isNamed(entry)) continue
    const prepared = await prepareEntry(entry, table, channel.identity, database)
    if (typeof prepared === 'string') channel.warn(refusedText(entry, prepared))
    else subscriptions.push({ channel, entry, order, oid: table.oid, ...prepared, binding: null })
  }
  return subscriptions
}

function roleFault({ name, exists, allowed }: RoleFacts): string | null {
  if (!exists) return sqlFault('42704', `role ${JSON.stringify(name)} does not exist`)
  return allowed ? null : sqlFault('42501', `permission denied to set role ${JSON.stringify(name)}`)
}

/** What is wrong with it, as the reference says it, or what the subscription is made of. */
async function prepareEntry(
  entry: ChangeEntry,
  table: TableEntry,
  { role }: Identity,
  database: FeedDatabase,
): Promise<string | Pick<Subscription, 'filters' | 'select'>> {
  const readable = (name: string): boolean => table.columns.some((column) => column.name === name && column.rolesWithSelect.has(role))
  const unreadable = (entry.select ?? []).find((name) => !readable(name))
  const filters: PreparedFilter[] = []
  for (const filter of entry.filters) {
    const column = table.columns.find(({ name }) => name === filter.column)
    if (column === undefined || !column.rolesWithSelect.has(role)) return `${RAISED} invalid column for filter ${filter.column}`
    const cast = await database.castFilter(filter, column)
    if (!cast.ok) return cast.text
    filters.push(prepareFilter(filter, column, cast.value))
  }
  if (unreadable !== undefined) return `${RAISED} invalid column for select ${unreadable}`
  return { filters, select: entry.select === null ? null : new Set(entry.select) }
}

function sqlFault(code: string, message: string): string {
  return `ERROR ${code} (${conditionName(code)}) ${message}`
}
