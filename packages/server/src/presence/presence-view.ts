import type { PresenceState } from '@tidewire/protocol'
import { stateOf } from './presence-diff.ts'
import type { LingeringEntry, PresenceEntry } from './presence-set.ts'

interface TopicView<Owner> {
  /** The entries in view, in order of arrival. The key is the owner for entries of this node, and the entry itself for others. */
  readonly members: Map<Owner | PresenceEntry, PresenceEntry>
  /** Bytes of payloads that are tracked on this node, by owner; `bytes` is their sum. */
  readonly sizes: Map<Owner, number>
  bytes: number
  state: PresenceState | null
  /** `state` as JSON. */
  text: Buffer | null
  /** `null` until an entry of a draining node leaves. */
  keys: Keys | null
}

interface Keys {
  /** The number of entries a key has, lingering ones excepted. */
  readonly counts: Map<string, number>
  /** A key has one lingering entry at most: others leave while it still has one that does not. */
  readonly lingering: Map<string, PresenceEntry>
}

/** The entries of every topic as the subscribers of this node see them. Entries of draining nodes linger in it after their removal. */
export class PresenceView<Owner> {
  readonly #topics = new Map<string, TopicView<Owner>>()
  /** Entries that were removed and are still in view, with the time until which they are. */
  readonly #lingering = new Map<PresenceEntry, number>()

  /** How many topics have an entry in view. */
  get topicCount(): number {
    return this.#topics.size
  }

  /** The entry of an owner of this node. */
  find(topic: string, owner: Owner): PresenceEntry | undefined {
    return this.#topics.get(topic)?.members.get(owner)
  }

  /** Bytes that the other owners of this node track in the topic. */
  bytesBeside(topic: string, owner: Owner): number {
    const view = this.#topics.get(topic)
    return view === undefined ? 0 : view.bytes - (view.sizes.get(owner) ?? 0)
  }

  /** All entries in view in a topic. The same object is returned until something changes. */
  state(topic: string): PresenceState {
    const view = this.#topics.get(topic)
    if (view === undefined) return stateOf()
    view.state ??= stateOf(view.members.values())
    return view.state
  }

  /** `state` as JSON text: written once for all joins until something changes. */
  stateText(topic: string): Uint8Array {
    const view = this.#topics.get(topic)
    if (view === undefined) return NO_STATE
    view.text ??= Buffer.from(JSON.stringify(stateOf(view.members.values())))
    return view.text
  }

  /** Returns the lingering entry of the same key, which leaves for the new one, if there is one. */
  enter(member: Owner | PresenceEntry, entry: PresenceEntry): PresenceEntry | undefined {
    const { topic, key } = entry
    const replaced = this.#lingering.size === 0 ? undefined : this.#topics.get(topic)?.keys?.lingering.get(key)
    const view = this.#viewOf(topic)
    view.state = null
    view.text = null
    view.members.set(member, entry)
    if (view.keys !== null) count(view.keys.counts, key, 1)
    if (replaced !== undefined) this.leave(topic, replaced)
    return replaced
  }

  leave(topic: string, member: Owner | PresenceEntry): void {
    const view = this.#viewOf(topic)
    view.state = null
    view.text = null
    this.setSize(topic, member as Owner, 0)
    const entry = view.members.get(member)
    if (entry !== undefined && view.keys !== null) {
      if (this.#lingering.delete(entry)) view.keys.lingering.delete(entry.key)
      else count(view.keys.counts, entry.key, -1)
    }
    view.members.delete(member)
    if (view.members.size === 0) this.#topics.delete(topic)
  }

  setSize(topic: string, owner: Owner, bytes: number): void {
    const view = this.#viewOf(topic)
    view.bytes += bytes - (view.sizes.get(owner) ?? 0)
    if (bytes === 0) view.sizes.delete(owner)
    else view.sizes.set(owner, bytes)
  }

  /** Keeps the entry in view until a time if its key has no other; then it is a member by itself. Returns whether it does. */
  linger(member: Owner | PresenceEntry, entry: PresenceEntry, untilMs: number): boolean {
    const { topic, key } = entry
    const { counts, lingering } = this.#keysOf(topic)
    if ((counts.get(key) ?? 0) > 1) return false
    counts.delete(key)
    lingering.set(key, entry)
    this.#lingering.set(entry, untilMs)
    if (member !== entry) {
      const { members } = this.#viewOf(topic)
      this.setSize(topic, member as Owner, 0)
      members.delete(member)
      members.set(entry, entry)
    }
    return true
  }

  /** Takes an entry that lingers on another node, if its key has none here. Returns whether it has none. */
  enterLingering(entry: PresenceEntry, untilMs: number): boolean {
    const { topic, key } = entry
    const keys = this.#topics.has(topic) ? this.#keysOf(topic) : null
    if (keys !== null && (keys.counts.has(key) || keys.lingering.has(key))) return false
    this.enter(entry, entry)
    return this.linger(entry, entry, untilMs)
  }

  lingering(nowMs: number): readonly LingeringEntry[] {
    return Array.from(this.#lingering, ([entry, untilMs]) => ({ entry, forMs: untilMs - nowMs })).filter(({ forMs }) => forMs > 0)
  }

  isLingering(entry: PresenceEntry): boolean {
    return this.#lingering.has(entry)
  }

  /** The entries that have lingered for as long as they should. */
  overdue(nowMs: number): readonly PresenceEntry[] {
    const overdue: PresenceEntry[] = []
    for (const [entry, untilMs] of this.#lingering) if (untilMs <= nowMs) overdue.push(entry)
    return overdue
  }

  #keysOf(topic: string): Keys {
    const view = this.#viewOf(topic)
    if (view.keys === null) {
      view.keys = { counts: new Map(), lingering: new Map() }
      for (const { key } of view.members.values()) count(view.keys.counts, key, 1)
    }
    return view.keys
  }

  #viewOf(topic: string): TopicView<Owner> {
    let view = this.#topics.get(topic)
    if (view === undefined) {
      view = { members: new Map(), sizes: new Map(), bytes: 0, state: null, text: null, keys: null }
      this.#topics.set(topic, view)
    }
    return view
  }
}

const NO_STATE = Buffer.from('{}')

function count(counts: Map<string, number>, key: string, by: number): void {
  const left = (counts.get(key) ?? 0) + by
  if (left === 0) counts.delete(key)
  else counts.set(key, left)
}
