import { isJsonObject, type PresenceMeta } from '@tidewire/protocol'
import type { Presence, PresenceEvent, PresenceSnapshot } from '../listen/payloads.ts'

type Keyed = ReadonlyMap<string, readonly Presence[]>

/**
 * The presences of a topic as the server sent them. A diff that comes before the first state of a join waits for it. Payloads
 * are read tolerantly: a meta without the shape of a presence is skipped.
 */
export class PresenceView {
  readonly #members = new Map<string, Presence[]>()
  /** Differences that are not applied yet. */
  #pending: (readonly [joins: Keyed, leaves: Keyed])[] = []
  #isSynced = false
  #snapshot: PresenceSnapshot | null = null

  /** A new join begins. What is known stays visible until its state comes. */
  restart(): void {
    this.#isSynced = false
    this.#pending = []
  }

  clear(): void {
    this.restart()
    this.#members.clear()
    this.#snapshot = null
  }

  /** The same object until a member joins, leaves or changes. Its prototype is null: keys come from strangers. */
  snapshot(): PresenceSnapshot {
    if (this.#snapshot === null) {
      this.#snapshot = Object.create(null) as PresenceSnapshot
      for (const [key, presences] of this.#members) this.#snapshot[key] = presences
    }
    return this.#snapshot
  }

  applyState(payload: unknown): PresenceEvent[] {
    const state = readState(payload)
    const joins = new Map<string, Presence[]>()
    const leaves = new Map<string, Presence[]>()
    for (const [key, presences] of this.#members) if (!state.has(key)) leaves.set(key, presences)
    for (const [key, presences] of state) {
      const known = this.#members.get(key) ?? []
      const fresh = without(presences, known)
      const gone = without(known, presences)
      if (fresh.length > 0) joins.set(key, fresh)
      if (gone.length > 0) leaves.set(key, gone)
    }
    this.#isSynced = true
    this.#pending.unshift([joins, leaves])
    return this.#applyPending()
  }

  applyDiff(payload: unknown): PresenceEvent[] {
    if (!isJsonObject(payload)) return []
    this.#pending.push([readState(payload['joins']), readState(payload['leaves'])])
    return this.#isSynced ? this.#applyPending() : []
  }

  #applyPending(): PresenceEvent[] {
    const events: PresenceEvent[] = this.#pending.splice(0).flatMap(([joins, leaves]) => this.#apply(joins, leaves))
    events.push({ event: 'sync' })
    return events
  }

  /** All joins first, then the leaves, then the updates among them. Arrays are replaced, never changed: snapshots hold them. */
  #apply(joins: Keyed, leaves: Keyed): PresenceEvent[] {
    const events: PresenceEvent[] = []
    this.#snapshot = null
    for (const [key, presences] of joins) {
      const current = this.#members.get(key) ?? []
      this.#members.set(key, [...without(current, presences), ...presences])
      events.push({ event: 'join', key, currentPresences: current, newPresences: [...presences] })
    }
    for (const [key, presences] of leaves) {
      const current = this.#members.get(key)
      if (current === undefined) continue
      const rest = without(current, presences)
      if (rest.length > 0) this.#members.set(key, rest)
      else this.#members.delete(key)
      events.push({ event: 'leave', key, currentPresences: rest, leftPresences: [...presences] })
    }
    for (const [key, presences] of joins) {
      const left = leaves.get(key) ?? []
      const newPresences = presences.filter((presence) => left.some((other) => other.presence_ref === replaced.get(presence)))
      const refs = newPresences.map((presence) => replaced.get(presence))
      if (newPresences.length > 0)
        events.push({ event: 'update', key, previousPresences: left.filter((other) => refs.includes(other.presence_ref)), newPresences })
    }
    return events
  }
}

function without(presences: readonly Presence[], others: readonly Presence[]): Presence[] {
  const refs = new Set(others.map((presence) => presence.presence_ref))
  return presences.filter((presence) => !refs.has(presence.presence_ref))
}

function readState(payload: unknown): Keyed {
  const state = new Map<string, Presence[]>()
  if (!isJsonObject(payload)) return state
  for (const [key, entry] of Object.entries(payload)) {
    if (!isJsonObject(entry) || !Array.isArray(entry['metas'])) continue
    state.set(key, (entry['metas'] as unknown[]).filter(isMeta).map(toPresence))
  }
  return state
}

function isMeta(meta: unknown): meta is PresenceMeta {
  return isJsonObject(meta) && typeof meta['phx_ref'] === 'string'
}

/** The reference of the presence that this one replaced; users do not see it. */
const replaced = new WeakMap<Presence, string>()

function toPresence({ phx_ref: presence_ref, phx_ref_prev: previous, ...tracked }: PresenceMeta): Presence {
  const presence: Presence = { ...tracked, presence_ref }
  if (typeof previous === 'string') replaced.set(presence, previous)
  return presence
}
