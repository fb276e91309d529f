import {
  postgresChangesFilter,
  type ChangeEvent,
  type ChangeFilter,
  type ChangeOf,
  type RowOf,
  type SchemaOf,
  type TableOf,
} from '@tidewire/client'
import { useEffect } from 'react'
import { channelRefOf, type SharedChannel } from './shared-channel.ts'
import { useLatest } from './use-latest.ts'

/**
 * Listens to row changes while the component is mounted. Filter and handler may be new objects at each render: filters are
 * compared by content. A filter that comes when the channel is already joined costs one more join: components
 * that appear together share one.
 */
export function usePostgresChanges<
  Events extends object,
  Meta extends object,
  Database,
  Schema extends SchemaOf<Database>,
  Table extends TableOf<Database, Schema>,
  Event extends ChangeEvent | '*',
>(
  channel: SharedChannel<Events, Meta, Database>,
  event: Event,
  filter: ChangeFilter<RowOf<Database, Schema, Table>> & { schema: Schema; table?: Table },
  handler: (change: ChangeOf<RowOf<Database, Schema, Table>, Event>) => void,
): void {
  const latest = useLatest(handler)
  const text = filterText(filter)
  useEffect(() => {
    const wanted = { type: 'postgres_changes', event, filter: JSON.parse(text) as ChangeFilter } as const
    return channelRefOf(channel).listen(wanted, (change: ChangeOf<RowOf<Database, Schema, Table>, Event>) => latest.current(change))
  }, [channel, event, text, latest])
}

/** The content of a filter as JSON: equal for equal filters. */
function filterText<Row extends object>({ schema, table, filter, select }: ChangeFilter<Row>): string {
  const built = typeof filter === 'function' ? filter(postgresChangesFilter<Row>()) : filter
  const condition = typeof built === 'object' ? built.build() : built
  return JSON.stringify({ schema, table, filter: condition, select })
}
