import type { JsonObject, PresenceDiff, PresenceMeta, PresenceState } from '@tidewire/protocol'
import { jsonEqual, maxPayloadDepth, nestsDeeperThan, presenceMeta } from './presence-payload.ts'
import type { PresenceChanges, PresenceContext, PresenceDelta, PresenceEntry } from './presence-set.ts'
import { PresenceSet } from './presence-set.ts'

export interface PresenceTrackerOptions {
  /** The name of this node among its peers. Must be new for every run of the process. */
  readonly replica: string
  /** A reference that no other payload has, on any node. */
  nextPhxRef(): string
}

/** What to announce, by topic. */
export type PresenceDiffs = ReadonlyMap<string, PresenceDiff>

interface Room<Owner> {
  /** Everybody in view, in order of arrival: under the owner if tracked here, under the entry itself if elsewhere. */
  readonly members: Map<Owner | PresenceEntry, PresenceEntry>
  state: PresenceState | null
}

type StateInMaking = { [key: string]: { metas: PresenceMeta[] } }
type DiffInMaking = { readonly joins: StateInMaking; readonly leaves: StateInMaking }

/**
 * Who is where: the presence of every topic, as this node sees it. `Owner` is whatever stands for one channel; it has at
 * most one payload in a topic and is compared by identity.
 *
 * Every method that changes the view returns the diff to announce. A view to which all diffs of a topic are applied,
 * joins before leaves, equals `state` of the topic, the order of metas included.
 */
export class PresenceTracker<Owner> {
  readonly #set: PresenceSet
  readonly #options: PresenceTrackerOptions
  readonly #rooms = new Map<string, Room<Owner>>()

  constructor(options: PresenceTrackerOptions) {
    this.#set = new PresenceSet(options.replica)
    this.#options = options
  }

  /** How many topics have somebody in view. */
  get topicCount(): number {
    return this.#rooms.size
  }

  /**
   * Adds the payload of an owner, or replaces it. Returns the diff to announce, null when the payload says what the
   * present one says, or `'too-deep'` when it nests deeper than `maxPayloadDepth`; then nothing has changed.
   * What is nested in the payload is kept, not copied: it must not be changed afterwards.
   */
  track(topic: string, key: string, owner: Owner, payload: JsonObject): PresenceDiff | null | 'too-deep' {
    if (nestsDeeperThan(payload, maxPayloadDepth)) return 'too-deep'
    const previous = this.#rooms.get(topic)?.members.get(owner)
    // Under another key it is not an update, but somebody else who comes as this one goes.
    const updated = previous?.key === key ? previous.meta : undefined
    if (updated !== undefined && jsonEqual(updated, presenceMeta(payload, updated.phx_ref, updated.phx_ref_prev))) return null
    const entry = this.#set.add(topic, key, presenceMeta(payload, this.#options.nextPhxRef(), updated?.phx_ref), previous)
    const { members } = this.#changing(topic)
    // Deleted first, so that it moves to the end, where a client puts what joins.
    members.delete(owner)
    members.set(owner, entry)
    return { joins: stateOf([entry]), leaves: stateOf(previous === undefined ? [] : [previous]) }
  }

  /** Removes the payload of an owner. Returns the diff to announce, or null when there was none. */
  untrack(topic: string, owner: Owner): PresenceDiff | null {
    const entry = this.#rooms.get(topic)?.members.get(owner)
    if (entry === undefined) return null
    this.#set.remove(entry)
    this.#leave(topic, owner)
    return { joins: stateOf(), leaves: stateOf([entry]) }
  }

  /** What an owner of this node tracks. */
  tracked(topic: string, owner: Owner): { readonly key: string; readonly meta: PresenceMeta } | null {
    return this.#rooms.get(topic)?.members.get(owner) ?? null
  }

  /** Everybody in view in a topic. The same object is returned until something changes. */
  state(topic: string): PresenceState {
    const room = this.#rooms.get(topic)
    if (room === undefined) return stateOf()
    room.state ??= stateOf(room.members.values())
    return room.state
  }

  /** What this node has seen, for others to compare: see `lacks` and `delta`. */
  context(): PresenceContext {
    return this.#set.context()
  }

  /** Whether a node with this context has news that should be asked for, with the own context. */
  lacks(context: PresenceContext): boolean {
    return this.#set.lacks(context)
  }

  /** The changes made here since the last call, to be sent to every other node; null when there are none. */
  takeDelta(): PresenceDelta | null {
    return this.#set.takeDelta()
  }

  /** What a node with this context has not seen; without one, everything. */
  delta(since?: PresenceContext): PresenceDelta {
    return this.#set.delta(since)
  }

  /** Takes in another node's news, in any order and any number of times. */
  merge(delta: PresenceDelta): PresenceDiffs {
    return this.#show(this.#set.merge(delta))
  }

  /** Another node can be heard. Its entries come into view; of a node that is not up, nothing is shown. */
  replicaUp(replica: string): PresenceDiffs {
    return this.#show(this.#set.replicaUp(replica))
  }

  /** Another node cannot be heard. Its entries leave the view and are kept for its return. */
  replicaDown(replica: string): PresenceDiffs {
    return this.#show(this.#set.replicaDown(replica))
  }

  /** Another node is not expected back. Everything about it is forgotten, and refused until it is declared up again. */
  replicaGone(replica: string): PresenceDiffs {
    return this.#show(this.#set.replicaGone(replica))
  }

  #show({ joined, left }: PresenceChanges): PresenceDiffs {
    const diffs = new Map<string, DiffInMaking>()
    for (const entry of joined) {
      this.#changing(entry.topic).members.set(entry, entry)
      put(diffOf(diffs, entry.topic).joins, entry)
    }
    for (const entry of left) {
      this.#leave(entry.topic, entry)
      put(diffOf(diffs, entry.topic).leaves, entry)
    }
    return diffs
  }

  #changing(topic: string): Room<Owner> {
    let room = this.#rooms.get(topic)
    if (room === undefined) {
      room = { members: new Map(), state: null }
      this.#rooms.set(topic, room)
    }
    room.state = null
    return room
  }

  #leave(topic: string, member: Owner | PresenceEntry): void {
    const room = this.#changing(topic)
    room.members.delete(member)
    if (room.members.size === 0) this.#rooms.delete(topic)
  }
}

function diffOf(diffs: Map<string, DiffInMaking>, topic: string): DiffInMaking {
  let diff = diffs.get(topic)
  if (diff === undefined) {
    diff = { joins: stateOf(), leaves: stateOf() }
    diffs.set(topic, diff)
  }
  return diff
}

/** Keys are whatever clients choose, `__proto__` included, so the object has no prototype. */
function stateOf(entries: Iterable<PresenceEntry> = []): StateInMaking {
  const state = Object.create(null) as StateInMaking
  for (const entry of entries) put(state, entry)
  return state
}

function put(state: StateInMaking, { key, meta }: PresenceEntry): void {
  const present = state[key]
  if (present === undefined) state[key] = { metas: [meta] }
  else present.metas.push(meta)
}
