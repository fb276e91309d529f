import type { PresenceMeta } from '@tidewire/protocol'
import type { CounterRanges } from './counter-set.ts'
import { CounterSet } from './counter-set.ts'

/** One tracked payload. Never changed: an update is a new entry that replaces the old one. */
export interface PresenceEntry {
  /** Identifies the entry, together with the replica that added it. */
  readonly counter: number
  readonly topic: string
  readonly key: string
  readonly meta: PresenceMeta
}

/** An entry that a draining node removed. It stays in view for `forMs`, unless its key appears again. */
export interface LingeringEntry {
  readonly entry: PresenceEntry
  readonly forMs: number
}

/** The counters of one replica's additions and removals that a node has seen. */
export interface ReplicaContext {
  readonly replica: string
  readonly seen: CounterRanges
}

export type PresenceContext = readonly ReplicaContext[]

/** Changes of one replica: of the counters in `seen`, those of `entries` are present, and all others were removed. */
export interface ReplicaDelta extends ReplicaContext {
  readonly entries: readonly PresenceEntry[]
}

/** Changes for other replicas, or a whole state. Plain JSON. */
export type PresenceDelta = readonly ReplicaDelta[]

/** The entries that a merge brought into view, and took out of it. */
export interface PresenceChanges {
  readonly joined: readonly PresenceEntry[]
  readonly left: readonly PresenceEntry[]
}

interface Knowledge {
  readonly seen: CounterSet
  readonly live: Map<number, PresenceEntry>
}

interface Replica extends Knowledge {
  up: boolean
}

const nothing: PresenceChanges = { joined: [], left: [] }

/**
 * The replicated set of presence entries: an add-wins observed-remove set with delta merge.
 *
 * Each replica numbers its additions and removals with one counter, and only it removes what it added. A removal names
 * the entry it takes away, so it can never take away one that was added later, however late or often it arrives.
 * Deltas may be lost, repeated and reordered. Because a removal has a number too, replicas that have seen the same counters
 * hold the same entries; comparing contexts is enough to know that something is missing.
 *
 * Merged entries of a replica come into view only while that replica is up. Nothing is kept of replicas that were never declared up, or
 * are gone: an entry of a dead replica cannot come back from a third one.
 */
export class PresenceSet {
  readonly #name: string
  readonly #self: Replica = { up: true, seen: new CounterSet(), live: new Map() }
  readonly #replicas: Map<string, Replica>
  #counter = 0
  /** Own changes since the last `takeDelta`; null while there is no other replica. */
  #unsent: Knowledge | null = null

  /** `replica` must be new for every run of a process: counters start over, and a number given twice corrupts its peers. */
  constructor(replica: string) {
    this.#name = replica
    this.#replicas = new Map([[replica, this.#self]])
  }

  /** Adds an entry of this replica, after the removal of the one it replaces: others see both in one step. */
  add(topic: string, key: string, meta: PresenceMeta, replaced?: PresenceEntry): PresenceEntry {
    // The removal gets a counter of its own. With one for both, a node that missed this step and saw the new entry's removal would take the old one's for seen, too.
    if (replaced !== undefined) this.remove(replaced)
    const entry: PresenceEntry = { counter: this.#tick(), topic, key, meta }
    this.#self.live.set(entry.counter, entry)
    this.#unsent?.live.set(entry.counter, entry)
    return entry
  }

  /** Removes an entry that this replica added. */
  remove(entry: PresenceEntry): void {
    if (this.#self.live.get(entry.counter) !== entry) throw new Error('Only a present entry of this replica can be removed by it.')
    this.#self.live.delete(entry.counter)
    this.#unsent?.live.delete(entry.counter)
    this.#unsent?.seen.add(entry.counter)
    this.#tick()
  }

  /** The counters that this replica has seen, of every replica that it keeps. */
  context(): PresenceContext {
    return Array.from(this.#replicas, ([replica, { seen }]) => ({ replica, seen: seen.ranges }))
  }

  /** Whether a node with this context has seen something that this replica should ask for. */
  lacks(context: PresenceContext): boolean {
    return context.some(({ replica, seen }) => this.#replicas.get(replica)?.seen.covers(seen) === false)
  }

  /** The changes made here since the last call, for every other replica; null when there are none. */
  takeDelta(): PresenceDelta | null {
    if (this.#unsent === null || this.#unsent.seen.size === 0) return null
    const { seen, live } = this.#unsent
    this.#unsent = { seen: new CounterSet(), live: new Map() }
    return [{ replica: this.#name, seen: seen.ranges, entries: [...live.values()] }]
  }

  /** The changes that a node with this context has not seen; with an empty one, all. Other nodes may merge it, too. */
  delta(since: PresenceContext = []): PresenceDelta {
    const theirs = new Map(since.map(({ replica, seen }) => [replica, new CounterSet(seen)]))
    const delta: ReplicaDelta[] = []
    for (const [replica, { seen, live }] of this.#replicas) {
      const known = theirs.get(replica) ?? new CounterSet()
      if (known.covers(seen.ranges)) continue
      // Entries that the receiver holds are not sent. Their counters are left out of `seen`, else the receiver would remove them.
      const held = [...live.keys()].filter((counter) => known.has(counter))
      const entries = [...live.values()].filter(({ counter }) => !known.has(counter))
      delta.push({ replica, seen: seen.without(held), entries })
    }
    return delta
  }

  merge(delta: PresenceDelta): PresenceChanges {
    const joined: PresenceEntry[] = []
    const left: PresenceEntry[] = []
    for (const part of delta) {
      const replica = this.#replicas.get(part.replica)
      // Other replicas know nothing newer about this one.
      if (replica === undefined || replica === this.#self) continue
      const changes = mergeReplica(replica, part)
      if (!replica.up) continue
      joined.push(...changes.joined)
      left.push(...changes.left)
    }
    return { joined, left }
  }

  /** The replica is reachable: its known entries come into view. After the first time, ask it for the others. */
  replicaUp(name: string): PresenceChanges {
    const replica = this.#replicas.get(name)
    if (replica === undefined) {
      this.#replicas.set(name, { up: true, seen: new CounterSet(), live: new Map() })
      this.#unsent ??= { seen: new CounterSet(), live: new Map() }
      return nothing
    }
    if (replica.up) return nothing
    replica.up = true
    return { joined: [...replica.live.values()], left: [] }
  }

  /** The replica is unreachable: its entries leave the view but are kept, and kept current, for its return. */
  replicaDown(name: string): PresenceChanges {
    const replica = this.#other(name)
    if (replica === undefined || !replica.up) return nothing
    replica.up = false
    return { joined: [], left: [...replica.live.values()] }
  }

  /** The replica is not expected back: everything about it is forgotten, and refused until it is declared up again. */
  replicaGone(name: string): PresenceChanges {
    const changes = this.replicaDown(name)
    this.#replicas.delete(name)
    if (this.#replicas.size === 1) this.#unsent = null
    return changes
  }

  #other(name: string): Replica | undefined {
    const replica = this.#replicas.get(name)
    if (replica === this.#self) throw new Error(`Replica ${name} cannot be down for itself.`)
    return replica
  }

  #tick(): number {
    const counter = ++this.#counter
    this.#self.seen.add(counter)
    this.#unsent?.seen.add(counter)
    return counter
  }
}

function mergeReplica({ seen, live }: Knowledge, news: ReplicaDelta): PresenceChanges {
  const joined = news.entries.filter(({ counter }) => !seen.has(counter))
  const present = new Set(news.entries.map(({ counter }) => counter))
  const theirs = new CounterSet(news.seen)
  const left: PresenceEntry[] = []
  // Iterates over the smaller one: a delta is usually far smaller than the known entries, a whole state is not.
  for (const counter of theirs.size < live.size ? theirs : live.keys()) {
    const entry = live.get(counter)
    if (entry !== undefined && theirs.has(counter) && !present.has(counter)) left.push(entry)
  }
  for (const { counter } of left) live.delete(counter)
  for (const entry of joined) live.set(entry.counter, entry)
  seen.addAll(news.seen)
  return { joined, left }
}
