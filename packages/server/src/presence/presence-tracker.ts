import { jsonEqual, type JsonObject, type PresenceDiff, type PresenceMeta, type PresenceState } from '@tidewire/protocol'
import { diffOf, put, stateOf, type DiffInMaking, type PresenceDiffs } from './presence-diff.ts'
import { maxPayloadDepth, nestsDeeperThan, presenceMeta } from './presence-meta.ts'
import type { LingeringEntry, PresenceChanges, PresenceContext, PresenceDelta, PresenceEntry } from './presence-set.ts'
import { PresenceSet } from './presence-set.ts'
import { PresenceView } from './presence-view.ts'

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

/** A change of one entry in the view. */
type Change =
  | { readonly kind: 'joins'; readonly entry: PresenceEntry }
  /** `lingersUntil`: how long it may stay after its removal; `null`: not at all. */
  | { readonly kind: 'leaves'; readonly entry: PresenceEntry; readonly lingersUntil: number | null }
  /** The entry lingers on another node. */
  | { readonly kind: 'lingers'; readonly entry: PresenceEntry; readonly untilMs: number }
  /** The entry has lingered long enough. */
  | { readonly kind: 'overdue'; readonly entry: PresenceEntry }

/**
 * The presence of every topic, as this node sees it. `Owner` stands for one channel; it has at
 * most one payload in a topic and is compared by identity.
 *
 * Changes by owners of this node are in view at once. Changes of other nodes come into view with `show`, in their order and a few at a
 * time: a node that dies may have tens of thousands of entries. Every method that changes the view returns the diff to announce. A view to which all
 * diffs of a topic are applied, joins before leaves, equals `state` of the topic, the order of metas included.
 */
export class PresenceTracker<Owner> {
  readonly #set: PresenceSet
  readonly #options: PresenceTrackerOptions
  readonly #view = new PresenceView<Owner>()
  /** Nodes that drain, with the time for which their entries linger: their clients are about to come back elsewhere. */
  readonly #leaving = new Map<string, number>()
  /**
   * Changes that are to come into view, the oldest first, in one list for each call that made them. The first `#shown` changes of the
   * first list are in view already.
   */
  readonly #pending: Change[][] = []
  #shown = 0

  constructor(options: PresenceTrackerOptions) {
    this.#set = new PresenceSet(options.replica)
    this.#options = options
  }

  /** How many topics have an entry in view. */
  get topicCount(): number {
    return this.#view.topicCount
  }

  /**
   * Adds the payload of an owner, or replaces it. Returns the diff to announce, `null` when the payload equals the
   * present one, or a fault when it nests deeper than `maxPayloadDepth` or is too much for the topic; then nothing has changed.
   * Nested values of the payload are kept, not copied: they must not be changed afterwards. `bytes`: the size of its JSON.
   */
  track(topic: string, key: string, owner: Owner, payload: JsonObject, bytes = 0): PresenceDiff | null | TrackFault {
    if (nestsDeeperThan(payload, maxPayloadDepth)) return 'too-deep'
    if (this.#view.bytesBeside(topic, owner) + bytes > (this.#options.maxTopicBytes ?? Infinity)) return 'topic-full'
    const previous = this.#view.find(topic, owner)
    // Under another key it is not an update: one entry leaves, another joins.
    const updated = previous?.key === key ? previous.meta : undefined
    if (updated !== undefined && jsonEqual(updated, presenceMeta(payload, updated.phx_ref, updated.phx_ref_prev))) return null
    const entry = this.#set.add(topic, key, presenceMeta(payload, this.#options.nextPhxRef(), updated?.phx_ref), previous)
    // Removed first, so that the new one is last: a client appends entries that join.
    if (previous !== undefined) this.#view.leave(topic, owner)
    const replaced = this.#view.enter(owner, entry)
    this.#view.setSize(topic, owner, bytes)
    return { joins: stateOf([entry]), leaves: stateOf([previous, replaced].filter((each) => each !== undefined)) }
  }

  /**
   * Removes the payload of an owner. Returns the diff to announce, or null when there was none. The diff is empty while this node
   * drains and the payload stays in view; `nowMs` is the time of the removal.
   */
  untrack(topic: string, owner: Owner, nowMs = 0): PresenceDiff | null {
    const entry = this.#view.find(topic, owner)
    if (entry === undefined) return null
    this.#set.remove(entry)
    const untilMs = this.#lingersUntil(this.#options.replica, nowMs)
    if (untilMs !== null && this.#view.linger(owner, entry, untilMs)) return { joins: stateOf(), leaves: stateOf() }
    this.#view.leave(topic, owner)
    return { joins: stateOf(), leaves: stateOf([entry]) }
  }

  /** The key and payload that an owner of this node tracks. */
  tracked(topic: string, owner: Owner): { readonly key: string; readonly meta: PresenceMeta } | null {
    return this.#view.find(topic, owner) ?? null
  }

  /** All entries in view in a topic. The same object is returned until something changes. */
  state(topic: string): PresenceState {
    return this.#view.state(topic)
  }

  /** `state` as JSON text: written once for all joins until something changes. */
  stateText(topic: string): Uint8Array {
    return this.#view.stateText(topic)
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
  merge(delta: PresenceDelta, nowMs = 0): void {
    for (const part of delta) this.#change(this.#set.merge([part]), this.#lingersUntil(part.replica, nowMs))
  }

  /** Another node is reachable. Its entries come into view; entries of a node that is not up are never shown. */
  replicaUp(replica: string): void {
    this.#change(this.#set.replicaUp(replica), null)
  }

  /** Another node is unreachable. Its entries leave the view and are kept for its return. */
  replicaDown(replica: string): void {
    this.#change(this.#set.replicaDown(replica), null)
  }

  /** A node drains, this one or another. Entries that it removes stay in view until their key appears again, for `lingerMs` at most. */
  replicaLeaving(replica: string, lingerMs: number): void {
    this.#leaving.set(replica, lingerMs)
  }

  /** Another node is not expected back. Its entries are forgotten, and refused until it is declared up again. */
  replicaGone(replica: string, nowMs = 0): void {
    const untilMs = this.#lingersUntil(replica, nowMs)
    this.#leaving.delete(replica)
    this.#change(this.#set.replicaGone(replica), untilMs)
  }

  /** The entries of draining nodes that linger here: a node that starts meanwhile cannot know them otherwise. */
  lingering(nowMs: number): readonly LingeringEntry[] {
    return this.#view.lingering(nowMs)
  }

  /** Entries that linger on another node come into view, unless their keys are in it. */
  linger(entries: readonly LingeringEntry[], nowMs: number): void {
    if (entries.length === 0) return
    const changes = entries.map(({ entry, forMs }): Change => ({ kind: 'lingers', entry, untilMs: nowMs + forMs }))
    this.#pending.push(grouped(changes, topicOf))
  }

  /** Entries of draining nodes that have lingered long enough leave the view. To be called now and then. */
  dropLingering(nowMs: number): void {
    // Otherwise the same entries would be in two lists.
    if (this.#pending.some(([first]) => first?.kind === 'overdue')) return
    const overdue = this.#view.overdue(nowMs).map((entry): Change => ({ kind: 'overdue', entry }))
    if (overdue.length > 0) this.#pending.push(grouped(overdue, topicOf))
  }

  /** Whether there is something to `show`. */
  get isBehind(): boolean {
    return this.#pending.length > 0
  }

  /**
   * Brings the next changes into view, of `most` entries or up to twice as many of one key, and all of them from one call of the methods
   * above: an entry that left and came back would be gone for a client that applies both as one diff.
   */
  show(most: number): PresenceDiffs {
    const diffs = new Map<string, DiffInMaking>()
    const changes = this.#pending[0]
    if (changes === undefined) return diffs
    let end = Math.min(changes.length, this.#shown + most)
    // An update is one diff: in two, a client would be shown twice for a moment. A key that many share may be divided.
    while (end < changes.length && end < this.#shown + 2 * most && isOfOneKey(changes[end - 1]!, changes[end]!)) end++
    const replaced = new Set<string>()
    for (let at = this.#shown; at < end; at++) {
      const change = changes[at]!
      // The entry lingered, was replaced within this diff, and comes back: that belongs to the next diff.
      if (change.kind === 'joins' && replaced.has(change.entry.meta.phx_ref)) end = at
      else this.#apply(diffs, change, replaced)
    }
    this.#shown = end
    if (end === changes.length) {
      this.#pending.shift()
      this.#shown = 0
    }
    return diffs
  }

  /** Until when entries that a node removes now stay in view; `null`: they do not. */
  #lingersUntil(replica: string, nowMs: number): number | null {
    const lingerMs = this.#leaving.get(replica)
    return lingerMs === undefined ? null : nowMs + lingerMs
  }

  #change({ joined, left }: PresenceChanges, lingersUntil: number | null): void {
    if (joined.length + left.length === 0) return
    const changes: Change[] = joined.map((entry) => ({ kind: 'joins', entry }))
    for (const entry of left) changes.push({ kind: 'leaves', entry, lingersUntil })
    // The join and the leave of an update follow each other.
    const byKey = joined.length > 0 && left.length > 0 ? grouped(changes, keyOf) : changes
    this.#pending.push(grouped(byKey, topicOf))
  }

  /** `replacedRefs`: takes the references of entries that left for others. */
  #apply(diffs: Map<string, DiffInMaking>, change: Change, replacedRefs: Set<string>): void {
    const { entry } = change
    if (change.kind === 'joins') {
      const replaced = this.#view.enter(entry, entry)
      // The entry is in view already: another node said before that it lingers. A client that applies a leave and a join of one entry as one
      // diff would lose it.
      if (replaced?.meta.phx_ref === entry.meta.phx_ref) return
      const diff = diffOf(diffs, entry.topic)
      put(diff.joins, entry)
      if (replaced === undefined) return
      put(diff.leaves, replaced)
      replacedRefs.add(replaced.meta.phx_ref)
      return
    }
    if (change.kind === 'lingers') {
      if (this.#view.enterLingering(entry, change.untilMs)) put(diffOf(diffs, entry.topic).joins, entry)
      return
    }
    if (change.kind === 'leaves' && change.lingersUntil !== null && this.#view.linger(entry, entry, change.lingersUntil)) return
    // An entry that lingered may have been replaced since.
    if (change.kind === 'overdue' && !this.#view.isLingering(entry)) return
    this.#view.leave(entry.topic, entry)
    put(diffOf(diffs, entry.topic).leaves, entry)
  }
}

function isOfOneKey(one: Change, other: Change): boolean {
  return keyOf(one) === keyOf(other) && topicOf(one) === topicOf(other)
}

function topicOf({ entry }: Change): string {
  return entry.topic
}

function keyOf({ entry }: Change): string {
  return entry.key
}

/** Changes of one topic, or key, follow each other, in their order: so few diffs are made of them. */
function grouped(changes: Change[], by: (change: Change) => string): Change[] {
  if (changes.length === 1) return changes
  const groups = new Map<string, Change[]>()
  for (const change of changes) {
    const present = groups.get(by(change))
    if (present === undefined) groups.set(by(change), [change])
    else present.push(change)
  }
  return groups.size === 1 ? changes : [...groups.values()].flat()
}
