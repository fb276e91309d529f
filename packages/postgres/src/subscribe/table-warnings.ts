import type { Table } from '../replication/table.ts'
import type { Subscription } from './audience.ts'
import { deletesWithheld } from './request/changes-fault.ts'

/** Under policies an old row is delivered by its key, which the log may not hold (rule D15). */
function warnOfKey({ channel, entry, audience }: Subscription, table: Table): void {
  const missing = table.primaryKey.filter(({ identity }) => !identity).map(({ name }) => name)
  if (missing.length === 0 || audience === null || audience.identity === null || (entry.event !== '*' && entry.event !== 'DELETE')) return
  channel.warnOnce({
    message: `Deletes of ${table.schema}.${table.name} come without ${missing.join(', ')}: its replica identity does not hold the primary key`,
    fault: { code: 'deletes-withheld', hint: `alter table ${table.schema}.${table.name} replica identity default;` },
  })
}

/** Warns where deletes are no longer delivered under this version of the table's policies (rule D14). */
export function warnOfDeletes({ channel, entry, audience }: Subscription): void {
  if (audience === null || !audience.authorizesDeletes || entry.event === 'INSERT' || entry.event === 'UPDATE') return
  const withheld = deletesWithheld(audience.table, audience.role)
  if (withheld !== null) channel.warnOnce(withheld)
}

/** Warns of filters and keys that do not work as expected with this version of the table. */
export function warnOfTable(subscription: Subscription, table: Table): void {
  warnOfFilters(subscription, table)
  warnOfKey(subscription, table)
}

/** A filter on a column that the stream does not have lets nothing pass (rule D15). */
function warnOfFilters({ channel, filters }: Subscription, table: Table): void {
  for (const { column } of filters ?? []) {
    if (!table.columns.some(({ name, tupleIndex }) => name === column.name && tupleIndex === null)) continue
    channel.warnOnce({
      message: `Changes of ${table.schema}.${table.name} are withheld: the publication leaves out ${column.name}, which your filter looks at`,
      fault: { code: 'filter-not-published', hint: `Publish ${column.name} as well, or filter by another column.` },
    })
  }
}
