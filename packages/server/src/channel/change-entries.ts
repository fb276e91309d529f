import { fnv1a, isJsonObject, type JoinRequest } from '@tidewire/protocol'

/** One requested change subscription with the id that the join reply gives it. */
export interface RequestedEntry {
  readonly id: number
  readonly entry: unknown
}

/** A join without a config asks by its sub-topic, as old clients do (rule J6). */
export function entriesOf(request: JoinRequest, subTopic: string): readonly unknown[] {
  return request.legacy ? [legacyEntry(subTopic)] : request.postgresChanges
}

/**
 * The entries of a join with their ids (rules D2, J6). Equal entries have equal ids in every join, unless a hash collides. Within
 * a join, different entries never share an id.
 */
export function changeEntries(request: JoinRequest, subTopic: string): readonly RequestedEntry[] {
  const idOf = new Map<string, number>()
  const taken = new Set<number>()
  /** Where the search for a free id goes on, by hash: a client may send many entries that have the same hash. */
  const nextOf = new Map<number, number>()
  return entriesOf(request, subTopic).map((entry) => {
    const text = canonical(entry)
    const known = idOf.get(text)
    if (known !== undefined) return { id: known, entry }
    const hashed = fnv1a(text) & ID_MASK
    let id = nextOf.get(hashed) ?? hashed
    while (taken.has(id)) id = (id + 1) & ID_MASK
    nextOf.set(hashed, (id + 1) & ID_MASK)
    taken.add(id)
    idOf.set(text, id)
    return { id, entry }
  })
}

/** The reply echoes each entry with all its keys and adds the id. */
export function echo({ id, entry }: RequestedEntry): unknown {
  return isJsonObject(entry) ? { ...entry, id } : { id, entry }
}

/** `schema[:table[:filter]]`, the sub-topic by which old clients ask for row changes. */
export function legacyEntry(subTopic: string): Record<string, string> {
  const [schema, table, ...filter] = subTopic.split(':')
  return {
    ...(schema === undefined ? {} : { schema }),
    ...(table === undefined ? {} : { table }),
    ...(filter.length === 0 ? {} : { filter: filter.join(':') }),
  }
}

/** 27 bits, as the ids of the reference have. */
const ID_MASK = 0x7ffffff

/** JSON with sorted keys, so that the order in which a client writes them does not matter. Its depth is bounded (rule L9). */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (!isJsonObject(value)) return JSON.stringify(value)
  const keys = Object.keys(value).toSorted()
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`
}
