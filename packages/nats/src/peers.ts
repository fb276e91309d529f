import type { PeerEvent, RelayPeer, RelayTopic } from '@tidewire/server'
import type { BatchNumbers, Beat } from './envelope.ts'
import type { Entry, Interests } from './interests.ts'

interface Known {
  readonly peer: RelayPeer
  state: Beat['state']
  /** The number of its last beat. Every message before it came, or was reported as missing. */
  number: number
  /** How many confirmations of the broker came before that beat: these subscriptions had to bring all that was sent after it. */
  confirmations: number
  /** The number of the last batch after it on each topic. */
  readonly came: Map<Entry, number>
  silentTicks: number
}

/** How long an instance may be silent before it is forgotten. */
const MAX_SILENT_TICKS = 60

/** The most instances that are remembered: far more than a database has walsenders for. */
const MAX_PEERS = 1_000

/** A node that was connected for this long has heard every connected instance: beats come every second. */
const WOULD_HAVE_HEARD_MS = 3_000

export interface Heard {
  readonly events: readonly PeerEvent[]
  /** Messages of the peer on these topics are missing. `all`: on any. */
  readonly gap: 'all' | readonly RelayTopic[]
  readonly isNew: boolean
}

/** The other nodes, known by the beats that each sends every second, and the messages of theirs that are missing. */
export class Peers {
  readonly #known = new Map<string, Known>()

  get isFull(): boolean {
    return this.#known.size >= MAX_PEERS
  }

  has(instance: string): boolean {
    return this.#known.has(instance)
  }

  get all(): readonly RelayPeer[] {
    return Array.from(this.#known.values(), ({ peer }) => peer)
  }

  /** `connectedMs`: how long this node has heard beats without a break. */
  hear(instance: string, beat: Beat, connectedMs: number, interests: Pick<Interests, 'find' | 'confirmations'>): Heard {
    const present = this.#known.get(instance)
    if (present === undefined && beat.state === 'closing') return { events: [], gap: [], isNew: false }
    const known = present ?? this.#meet(instance, beat, interests.confirmations)
    const missed = present === undefined && beat.previous !== 0 && connectedMs >= WOULD_HAVE_HEARD_MS
    const gap = missed ? 'all' : missingOf(known, beat, interests)
    if (beat.state === 'closing') {
      this.#known.delete(instance)
      return { events: [{ kind: 'down', peer: known.peer }], gap, isNew: false }
    }
    known.silentTicks = 0
    const events: PeerEvent[] = present === undefined ? [{ kind: 'up', peer: known.peer }] : []
    if (known.state === 'up' && beat.state === 'leaving') events.push({ kind: 'leaving', peer: known.peer, spreadMs: beat.spreadMs })
    known.state = beat.state
    return { events, gap, isNew: present === undefined }
  }

  /**
   * The place of a batch that came: `gap`: others before it are missing, `late`: it came already, or counts as missing. A node is
   * followed from its first beat on, and a topic of it from then on, or from its first batch if that comes before the broker's confirmation.
   */
  take(instance: string, entry: Entry, { number, previous }: BatchNumbers): 'next' | 'gap' | 'late' {
    const known = this.#known.get(instance)
    if (known === undefined) return 'next'
    const last = lastOf(known, entry)
    if (last !== undefined && number <= last) return 'late'
    known.came.set(entry, number)
    return last !== undefined && previous > last ? 'gap' : 'next'
  }

  /** To be called for every second after which all input of the broker was read. */
  tick(): readonly PeerEvent[] {
    const events: PeerEvent[] = []
    for (const [instance, known] of this.#known) {
      if (++known.silentTicks < MAX_SILENT_TICKS) continue
      this.#known.delete(instance)
      events.push({ kind: 'down', peer: known.peer })
    }
    return events
  }

  #meet(instance: string, { number, previous, name, version, startedAt }: Beat, confirmations: number): Known {
    const peer: RelayPeer = { instance, name, version, startedAt }
    // Messages that a node lost before its first beat are missing; those before it was heard for the first time are not.
    const known: Known = { peer, state: 'up', number: previous === 0 ? 0 : number, confirmations, came: new Map(), silentTicks: 0 }
    this.#known.set(instance, known)
    return known
  }
}

/** Compares the messages that came with those that a beat says were sent, and returns the topics of missing ones. */
function missingOf(known: Known, { number, previous, sent }: Beat, interests: Pick<Interests, 'find' | 'confirmations'>): Heard['gap'] {
  // An answer, or late.
  if (previous === null || number <= known.number) return []
  const topics: RelayTopic[] = []
  for (const [key, last] of sent) {
    const entry = interests.find(key)
    if (entry !== undefined && last > (lastOf(known, entry) ?? last)) topics.push(entry.topic)
  }
  const missed = previous > known.number
  known.number = number
  known.confirmations = interests.confirmations
  for (const [entry, last] of known.came) if (last <= number) known.came.delete(entry)
  // A beat is missing, and with it the numbers that it carried.
  return missed ? 'all' : topics
}

/** The number up to which all batches of a topic came or are missing; `undefined`: this node has not followed the topic for that long. */
function lastOf(known: Known, entry: Entry): number | undefined {
  return known.came.get(entry) ?? (entry.confirmed <= known.confirmations ? known.number : undefined)
}
