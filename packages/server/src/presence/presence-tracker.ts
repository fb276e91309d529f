import type { JsonObject, PresenceDiff, PresenceMeta, PresenceState } from '@tidewire/protocol'
import { diffOf, put, stateOf, type DiffInMaking, type PresenceDiffs } from './presence-diff.ts'
import { jsonEqual, maxPayloadDepth, nestsDeeperThan, presenceMeta } from './presence-meta.ts'
import type { PresenceChanges, PresenceContext, PresenceDelta, PresenceEntry } from './presence-set.ts'
import { PresenceSet } from './presence-set.ts'

export interface PresenceTrackerOptions {
  /** Names this node among its peers. Must be new for every run of the process. */
  readonly replica: string
  /** Bytes of all that is tracked in one topic on this node. Default: no bound. */
  readonly maxTopicBytes?: number
  /** A reference that no other payload has, on any node. */
  nextPhxRef(): string
}

/** Why nothing was tracked. */
export type TrackFault = 'too-deep' | 'topic-full'

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

/**
 * The presence of every topic, as this node sees it. `Owner` stands for one channel; it has at
 * most one payload in a topic and is compared by identity.
 *
 * Every method that changes the view returns the diff to announce. A view to which all diffs of a topic are applied,
 * joins before leaves, equals `state` of the topic, the order of metas included.
 */
export class PresenceTracker<Owner> {
  readonly #set: PresenceSet
  readonly #options: PresenceTrackerOptions
  readonly #topics = new Map<string, TopicView<Owner>>()
  /** Nodes that drain: their clients are about to come back elsewhere. */
  readonly #leaving = new Set<string>()
  /** Entries of draining nodes that were removed and are still in view, with the time of their removal, oldest first. */
  readonly #lingering = new Map<PresenceEntry, number>()

  constructor(options: PresenceTrackerOptions) {
    this.#set = new PresenceSet(options.replica)
    this.#options = options
  }

  /** How many topics have an entry in view. */
  get topicCount(): number {
    return this.#topics.size
  }

  /**
   * Adds the payload of an owner, or replaces it. Returns the diff to announce, null when the payload says what the
   * present one says, or a fault when it nests deeper than `maxPayloadDepth` or is too much for the topic; then nothing has changed.
   * What is nested in the payload is kept, not copied: it must not be changed afterwards. `bytes`: of its JSON.
   */
  track(topic: string, key: string, owner: Owner, payload: JsonObject, bytes = 0): PresenceDiff | null | TrackFault {
    if (nestsDeeperThan(payload, maxPayloadDepth)) return 'too-deep'
    const view = this.#topics.get(topic)
    if ((view?.bytes ?? 0) - (view?.sizes.get(owner) ?? 0) + bytes > (this.#options.maxTopicBytes ?? Infinity)) return 'topic-full'
    const previous = view?.members.get(owner)
    // Under another key it is not an update: one entry leaves, another joins.
    const updated = previous?.key === key ? previous.meta : undefined
    if (updated !== undefined && jsonEqual(updated, presenceMeta(payload, updated.phx_ref, updated.phx_ref_prev))) return null
    const entry = this.#set.add(topic, key, presenceMeta(payload, this.#options.nextPhxRef(), updated?.phx_ref), previous)
    const lingering = this.#replacedBy(entry)
    // Removed first, so that the new one is last: a client appends entries that join.
    if (previous !== undefined) this.#leave(topic, owner)
    this.#enter(owner, entry)
    this.#setSize(topic, owner, bytes)
    for (const each of lingering) this.#leave(topic, each)
    return { joins: stateOf([entry]), leaves: stateOf(previous === undefined ? lingering : [previous, ...lingering]) }
  }

  /**
   * Removes the payload of an owner. Returns the diff to announce, or null when there was none. The diff is empty while this node
   * drains and the payload stays in view; `nowMs` is the time of the removal.
   */
  untrack(topic: string, owner: Owner, nowMs = 0): PresenceDiff | null {
    const entry = this.#topics.get(topic)?.members.get(owner)
    if (entry === undefined) return null
    this.#set.remove(entry)
    if (this.#leaving.has(this.#options.replica) && this.#linger(entry, nowMs)) {
      const { members } = this.#viewOf(topic)
      members.delete(owner)
      members.set(entry, entry)
      return { joins: stateOf(), leaves: stateOf() }
    }
    this.#leave(topic, owner)
    return { joins: stateOf(), leaves: stateOf([entry]) }
  }

  /** The key and payload that an owner of this node tracks. */
  tracked(topic: string, owner: Owner): { readonly key: string; readonly meta: PresenceMeta } | null {
    return this.#topics.get(topic)?.members.get(owner) ?? null
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

  /** The changes that this node has seen, for others to compare: see `lacks` and `delta`. */
  context(): PresenceContext {
    return this.#set.context()
  }

  /** Whether a node with this context has changes that this node lacks. Ask it, with the own context. */
  lacks(context: PresenceContext): boolean {
    return this.#set.lacks(context)
  }

  /** The changes made here since the last call, to be sent to every other node; null when there are none. */
  takeDelta(): PresenceDelta | null {
    return this.#set.takeDelta()
  }

  /** The changes that a node with this context has not seen; without one, all. */
  delta(since?: PresenceContext): PresenceDelta {
    return this.#set.delta(since)
  }

  /** Merges another node's changes, in any order and any number of times. `nowMs` is the time of removals that linger. */
  merge(delta: PresenceDelta, nowMs = 0): PresenceDiffs {
    const diffs = new Map<string, DiffInMaking>()
    for (const part of delta) this.#show(diffs, this.#set.merge([part]), this.#leaving.has(part.replica) ? nowMs : null)
    return diffs
  }

  /** Another node is reachable. Its entries come into view; entries of a node that is not up are never shown. */
  replicaUp(replica: string): PresenceDiffs {
    return this.#show(new Map(), this.#set.replicaUp(replica), null)
  }

  /** Another node is unreachable. Its entries leave the view and are kept for its return. */
  replicaDown(replica: string): PresenceDiffs {
    return this.#show(new Map(), this.#set.replicaDown(replica), null)
  }

  /** A node drains, this one or another. Entries that it removes from now on stay in view until their key appears again, or until `dropLingering`. */
  replicaLeaving(replica: string): void {
    this.#leaving.add(replica)
  }

  /** Another node is not expected back. Its entries are forgotten, and refused until it is declared up again. */
  replicaGone(replica: string, nowMs = 0): PresenceDiffs {
    const leaving = this.#leaving.delete(replica)
    return this.#show(new Map(), this.#set.replicaGone(replica), leaving ? nowMs : null)
  }

  /** Removes from view the entries that draining nodes removed at `untilMs` or earlier. */
  dropLingering(untilMs: number): PresenceDiffs {
    const diffs = new Map<string, DiffInMaking>()
    for (const [entry, at] of this.#lingering) {
      if (at > untilMs) break
      this.#leave(entry.topic, entry)
      put(diffOf(diffs, entry.topic).leaves, entry)
    }
    return diffs
  }

  /** `lingerFrom`: when the entries that leave were removed, if they may linger. */
  #show(diffs: Map<string, DiffInMaking>, { joined, left }: PresenceChanges, lingerFrom: number | null): Map<string, DiffInMaking> {
    for (const entry of joined) {
      const lingering = this.#replacedBy(entry)
      this.#enter(entry, entry)
      put(diffOf(diffs, entry.topic).joins, entry)
      for (const each of lingering) {
        this.#leave(each.topic, each)
        put(diffOf(diffs, each.topic).leaves, each)
      }
    }
    for (const entry of left) {
      if (lingerFrom !== null && this.#linger(entry, lingerFrom)) continue
      this.#leave(entry.topic, entry)
      put(diffOf(diffs, entry.topic).leaves, entry)
    }
    return diffs
  }

  /** Keeps the entry in view if its key has no other. Returns whether it does. */
  #linger(entry: PresenceEntry, at: number): boolean {
    const { counts, lingering } = this.#keysOf(entry.topic)
    if ((counts.get(entry.key) ?? 0) > 1) return false
    counts.delete(entry.key)
    lingering.set(entry.key, entry)
    this.#lingering.set(entry, at)
    return true
  }

  #keysOf(topic: string): Keys {
    const view = this.#viewOf(topic)
    if (view.keys === null) {
      view.keys = { counts: new Map(), lingering: new Map() }
      for (const { key } of view.members.values()) count(view.keys.counts, key, 1)
    }
    return view.keys
  }

  /** The lingering entry that an entry of the same key replaces. */
  #replacedBy({ topic, key }: PresenceEntry): readonly PresenceEntry[] {
    const entry = this.#lingering.size === 0 ? undefined : this.#topics.get(topic)?.keys?.lingering.get(key)
    return entry === undefined ? [] : [entry]
  }

  #enter(member: Owner | PresenceEntry, entry: PresenceEntry): void {
    const view = this.#viewOf(entry.topic)
    view.state = null
    view.text = null
    view.members.set(member, entry)
    if (view.keys !== null) count(view.keys.counts, entry.key, 1)
  }

  #leave(topic: string, member: Owner | PresenceEntry): void {
    const view = this.#viewOf(topic)
    view.state = null
    view.text = null
    this.#setSize(topic, member as Owner, 0)
    const entry = view.members.get(member)
    if (entry !== undefined && view.keys !== null) {
      if (this.#lingering.delete(entry)) view.keys.lingering.delete(entry.key)
      else count(view.keys.counts, entry.key, -1)
    }
    view.members.delete(member)
    if (view.members.size === 0) this.#topics.delete(topic)
  }

  #setSize(topic: string, owner: Owner, bytes: number): void {
    const view = this.#viewOf(topic)
    view.bytes += bytes - (view.sizes.get(owner) ?? 0)
    if (bytes === 0) view.sizes.delete(owner)
    else view.sizes.set(owner, bytes)
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
