import { isJsonObject, type PostgresChangesEntry } from '@tidewire/protocol'
import { RealtimePostgresFilterBuilder } from './filter-builder.ts'
import type { Binding } from './listeners.ts'
import type { ChangeFilter } from './payloads.ts'

type Filter = PostgresChangesEntry & { readonly [key: string]: unknown }

/** The filters of a channel as its join lists them. Two equal ones never come here. */
export function changeEntries(bindings: readonly Binding[]): readonly PostgresChangesEntry[] {
  return bindings.map((binding) => binding.filter as Filter)
}

/** Whether two filters ask for the same changes. */
export function isSameFilter(a: Filter, b: Filter): boolean {
  return isEcho(a, b) && String(a.select) === String(b.select)
}

/**
 * Gives each binding the id under which the server will name it. Entries are matched by what they ask for, not by their
 * place, and may have keys that were not sent. Returns the first binding that the server did not echo.
 */
export function assignIds(bindings: readonly Binding[], entries: unknown): Binding | undefined {
  const rest = Array.isArray(entries) ? (entries as unknown[]).filter(isJsonObject) : []
  for (const binding of bindings) {
    const filter = binding.filter as Filter
    // Filters may differ in `select` alone; a server that does not echo it lists them in our order.
    let at = rest.findIndex((entry) => isEcho(filter, entry) && String(entry['select']) === String(filter.select))
    if (at < 0) at = rest.findIndex((entry) => isEcho(filter, entry))
    if (at < 0) return binding
    binding.id = rest.splice(at, 1)[0]!['id'] as number
  }
  return undefined
}

/** Whether the server means this binding, and the kind of change, in lower case, is the one it wants. */
export function wantsChange(binding: Binding, ids: readonly unknown[], type: string): boolean {
  return binding.id !== undefined && ids.includes(binding.id) && (binding.event === '*' || binding.event === type)
}

function isEcho(sent: Filter, echoed: Filter): boolean {
  return (['event', 'schema', 'table', 'filter'] as const).every((key) => (sent[key] ?? null) === (echoed[key] ?? null))
}

/** Builds a filter now: conditions that are added to its builder later are not part of the join. */
export function plainFilter(filter: object): Binding['filter'] {
  const { filter: given } = filter as { readonly filter?: ChangeFilter['filter'] }
  const built = typeof given === 'function' ? given(new RealtimePostgresFilterBuilder()) : given
  return typeof built === 'object' && built !== null ? { ...filter, filter: built.build() } : { ...filter }
}
