import { countConditions, MAX_FILTER_LENGTH, MAX_FILTERS_LENGTH } from '../changes/filter.ts'
import { fitsBytes } from '../utf8.ts'
import { isJsonObject } from '../message.ts'

/** The bound that a join exceeds (rules L11, L12), or `malformed-join` for a shape that clients do not send. */
export type JoinFault = 'malformed-join' | 'too-many-changes' | 'too-many-columns' | 'too-many-conditions' | 'name-too-long'

/** Bounds of the entries of a join, with which each row is compared (rule L12). */
export interface JoinBounds {
  /** Entries in `postgres_changes`. Default 1 000. */
  readonly maxChanges: number
  /** Conditions of one filter. Default 100. */
  readonly maxConditionsPerFilter: number
  /** Conditions of all filters together. Default 2 000. */
  readonly maxConditions: number
}

/** The default bounds. */
export const defaultJoinBounds: JoinBounds = { maxChanges: 1_000, maxConditionsPerFilter: 100, maxConditions: 2_000 }

/** The most names in a `select`: no table of Postgres has more columns. */
const MAX_SELECTED_COLUMNS = 1_600

/** The longest name of a schema or table, or pattern for it; Postgres takes 63 bytes. */
const MAX_TABLE_NAME_BYTES = 255

interface Fault {
  readonly code: JoinFault
  readonly reason: string
}

/** The bound that the entries of a join exceed, in the words of the reply; `null`: none. Entries may be any JSON. */
export function changesFault(entries: readonly unknown[], bounds: JoinBounds): Fault | null {
  const { maxChanges, maxConditionsPerFilter, maxConditions } = bounds
  if (entries.length > maxChanges)
    return { code: 'too-many-changes', reason: `TooManyChanges: a join takes at most ${maxChanges} entries in postgres_changes` }
  let conditions = 0
  let length = 0
  for (const entry of entries) {
    if (!isJsonObject(entry)) continue
    const { schema, table, filter, select } = entry
    if (isLong(schema, MAX_TABLE_NAME_BYTES) || isLong(table, MAX_TABLE_NAME_BYTES))
      return { code: 'name-too-long', reason: `NameTooLong: a schema or table takes at most ${MAX_TABLE_NAME_BYTES} bytes` }
    if (Array.isArray(select) && select.length > MAX_SELECTED_COLUMNS)
      return { code: 'too-many-columns', reason: `TooManyColumns: a select takes at most ${MAX_SELECTED_COLUMNS} columns` }
    if (typeof filter !== 'string') continue
    if (filter.length > MAX_FILTER_LENGTH)
      return { code: 'too-many-conditions', reason: `FilterTooLong: a filter takes at most ${MAX_FILTER_LENGTH} characters` }
    length += filter.length
    if (length > MAX_FILTERS_LENGTH)
      return { code: 'too-many-conditions', reason: `FilterTooLong: the filters of a join take at most ${MAX_FILTERS_LENGTH} characters` }
    const count = countConditions(filter)
    if (count > maxConditionsPerFilter)
      return { code: 'too-many-conditions', reason: `TooManyConditions: a filter takes at most ${maxConditionsPerFilter} conditions` }
    conditions += count
    if (conditions > maxConditions)
      return { code: 'too-many-conditions', reason: `TooManyConditions: the filters of a join take at most ${maxConditions} conditions` }
  }
  return null
}

function isLong(name: unknown, maxBytes: number): boolean {
  return typeof name === 'string' && !fitsBytes(name, maxBytes)
}
