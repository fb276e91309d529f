import type { PeerEvent, RelayPeer } from '@tidewire/server'
import type { Beat } from './envelope.ts'

interface Known {
  readonly peer: RelayPeer
  state: Beat['state']
  number: number
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
  /** Messages of the peer may be missing. */
  readonly gap: boolean
  readonly isNew: boolean
}

/** The other nodes, known by the beats that each sends every second. A beat skips a number when its sender may have lost messages. */
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
  hear(instance: string, beat: Beat, connectedMs: number): Heard {
    const known = this.#known.get(instance)
    if (beat.state === 'closing') {
      this.#known.delete(instance)
      const gap = known !== undefined && beat.number > known.number + 1
      return { events: known === undefined ? [] : [{ kind: 'down', peer: known.peer }], gap, isNew: false }
    }
    if (known === undefined) {
      const { name, version, startedAt } = beat
      const peer: RelayPeer = { instance, name, version, startedAt }
      this.#known.set(instance, { peer, state: beat.state, number: beat.number, silentTicks: 0 })
      const events: PeerEvent[] = [{ kind: 'up', peer }]
      if (beat.state === 'leaving') events.push({ kind: 'leaving', peer, spreadMs: beat.spreadMs })
      return { events, gap: beat.number > 1 && connectedMs >= WOULD_HAVE_HEARD_MS, isNew: true }
    }
    known.silentTicks = 0
    const leaves = known.state === 'up' && beat.state === 'leaving'
    const events: PeerEvent[] = leaves ? [{ kind: 'leaving', peer: known.peer, spreadMs: beat.spreadMs }] : []
    known.state = beat.state
    const gap = beat.number > known.number + 1
    known.number = Math.max(known.number, beat.number)
    return { events, gap, isNew: false }
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
}
