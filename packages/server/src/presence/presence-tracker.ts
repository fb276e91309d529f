import type { JsonObject, PresenceDiff, PresenceMeta, PresenceState } from '@tidewire/protocol'
import { diffOf, put, stateOf, type DiffInMaking, type PresenceDiffs } from './presence-diff.ts'
import { jsonEqual, maxPayloadDepth, nestsDeeperThan, presenceMeta } from './presence-meta.ts'
import type { PresenceChanges, PresenceContext, PresenceDelta, PresenceEntry } from './presence-set.ts'
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
  readonly #view = new PresenceView<Owner>()
  /** Nodes that drain, with the time for which their entries linger: their clients are about to come back elsewhere. */
  readonly #leaving = new Map<string, number>()

  constructor(options: PresenceTrackerOptions) {
    this.#set = new PresenceSet(options.replica)
    this.#options = options
  }

  /** How many topics have an entry in view. */
  get topicCount(): number {
    return this.#view.topicCount
  }

  /**
   * Adds the payload of an owner, or replaces it. Returns the diff to announce, null when the payload says what the
   * present one says, or a fault when it nests deeper than `maxPayloadDepth` or is too much for the topic; then nothing has changed.
   * What is nested in the payload is kept, not copied: it must not be changed afterwards. `bytes`: of its JSON.
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
  merge(delta: PresenceDelta, nowMs = 0): PresenceDiffs {
    const diffs = new Map<string, DiffInMaking>()
    for (const part of delta) this.#show(diffs, this.#set.merge([part]), this.#lingersUntil(part.replica, nowMs))
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

  /** A node drains, this one or another. Entries that it removes from now on stay in view until their key appears again, or for so long. */
  replicaLeaving(replica: string, lingerMs: number): void {
    this.#leaving.set(replica, lingerMs)
  }

  /** Another node is not expected back. Its entries are forgotten, and refused until it is declared up again. */
  replicaGone(replica: string, nowMs = 0): PresenceDiffs {
    const untilMs = this.#lingersUntil(replica, nowMs)
    this.#leaving.delete(replica)
    return this.#show(new Map(), this.#set.replicaGone(replica), untilMs)
  }

  /** Removes from view the entries of draining nodes that have lingered long enough. */
  dropLingering(nowMs: number): PresenceDiffs {
    const diffs = new Map<string, DiffInMaking>()
    for (const entry of this.#view.overdue(nowMs)) {
      this.#view.leave(entry.topic, entry)
      put(diffOf(diffs, entry.topic).leaves, entry)
    }
    return diffs
  }

  /** Until when entries that a node removes now stay in view; `null`: they do not. */
  #lingersUntil(replica: string, nowMs: number): number | null {
    const lingerMs = this.#leaving.get(replica)
    return lingerMs === undefined ? null : nowMs + lingerMs
  }

  #show(diffs: Map<string, DiffInMaking>, { joined, left }: PresenceChanges, untilMs: number | null): Map<string, DiffInMaking> {
    for (const entry of joined) {
      const replaced = this.#view.enter(entry, entry)
      put(diffOf(diffs, entry.topic).joins, entry)
      if (replaced !== undefined) put(diffOf(diffs, entry.topic).leaves, replaced)
    }
    for (const entry of left) {
      if (untilMs !== null && this.#view.linger(entry, entry, untilMs)) continue
      this.#view.leave(entry.topic, entry)
      put(diffOf(diffs, entry.topic).leaves, entry)
    }
    return diffs
  }
}
