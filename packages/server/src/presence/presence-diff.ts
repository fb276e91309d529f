import type { PresenceDiff, PresenceMeta } from '@tidewire/protocol'
import type { PresenceEntry } from './presence-set.ts'

/** The diffs to announce, by topic. */
export type PresenceDiffs = ReadonlyMap<string, PresenceDiff>

type StateInMaking = { [key: string]: { metas: PresenceMeta[] } }
export type DiffInMaking = { readonly joins: StateInMaking; readonly leaves: StateInMaking }

/** The diff of a topic, made empty where there is none. */
export function diffOf(diffs: Map<string, DiffInMaking>, topic: string): DiffInMaking {
  let diff = diffs.get(topic)
  if (diff === undefined) {
    diff = { joins: stateOf(), leaves: stateOf() }
    diffs.set(topic, diff)
  }
  return diff
}

/** Clients choose the keys, `__proto__` included, so the object has no prototype. */
export function stateOf(entries: Iterable<PresenceEntry> = []): StateInMaking {
  const state = Object.create(null) as StateInMaking
  for (const entry of entries) put(state, entry)
  return state
}

export function put(state: StateInMaking, { key, meta }: PresenceEntry): void {
  const present = state[key]
  if (present === undefined) state[key] = { metas: [meta] }
  else present.metas.push(meta)
}
