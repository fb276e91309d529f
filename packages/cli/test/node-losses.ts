import { setTimeout as delay } from 'node:timers/promises'
import type { Absence, ClusterClient } from './cluster-client.ts'

/** Sockets of a killed process end within so long. */
const NOTICED_WITHIN_MS = 1_000
const WATCHED_FOR_MS = 20_000
const LOOK_EVERY_MS = 20

interface NodeLoss {
  readonly killedAt: number
  /** Until no client of a node that heard of it had the presence of the killed node's clients in view; `null`: that did not come. */
  unseenMs: number | null
}

/** What the end of killed nodes looks like to their clients, and to all others. */
export class NodeLosses {
  readonly #clients: readonly ClusterClient[]
  readonly #losses: NodeLoss[] = []
  readonly #watching: Promise<void>[] = []

  constructor(clients: readonly ClusterClient[]) {
    this.#clients = clients
  }

  /** A node was killed at this time. */
  watch(killedAt: number): void {
    const loss: NodeLoss = { killedAt, unseenMs: null }
    this.#losses.push(loss)
    this.#watching.push(this.#watch(loss))
  }

  /** Sentences about ends that were not noticed. */
  async settled(): Promise<string[]> {
    await Promise.all(this.#watching)
    return this.#losses.flatMap(({ unseenMs }, at) =>
      unseenMs === null ? [`presence of the clients of killed node ${at + 1} was in view for more than ${WATCHED_FOR_MS} ms`] : [],
    )
  }

  /** Milliseconds from each kill until every view was without its clients. */
  get unseenMs(): readonly number[] {
    return this.#losses.map(({ unseenMs }) => unseenMs ?? WATCHED_FOR_MS)
  }

  /** Milliseconds that clients of killed nodes were away. */
  awayMs(until: 'joinedAt' | 'liveAt'): readonly number[] {
    return this.#losses.flatMap(({ killedAt }) =>
      this.#absencesAt(killedAt).flatMap(({ [until]: at }) => (at === null ? [] : [at - killedAt])),
    )
  }

  get summary(): readonly string[] {
    if (this.#losses.length === 0) return []
    return [
      `${this.#losses.length} nodes killed; no view holds their clients after ${spread(this.unseenMs)}`,
      `their clients are joined elsewhere after ${spread(this.awayMs('joinedAt'))}, with row changes after ${spread(this.awayMs('liveAt'))}`,
    ]
  }

  async #watch(loss: NodeLoss): Promise<void> {
    const { killedAt } = loss
    const deadline = killedAt + WATCHED_FOR_MS
    let lastSeenAt = killedAt
    // A client may be away itself, and come back to a node that has not noticed yet.
    let look: number
    do {
      await delay(LOOK_EVERY_MS)
      look = performance.now()
      if (this.#isInView(killedAt)) lastSeenAt = look
    } while (look < deadline && look - Math.max(lastSeenAt, killedAt + NOTICED_WITHIN_MS) < 2_000)
    if (look - lastSeenAt >= 2_000) loss.unseenMs = lastSeenAt - killedAt
  }

  #isInView(killedAt: number): boolean {
    const refsOf = new Map<number, string[]>()
    for (const { room, absences } of this.#clients)
      for (const absence of absences) if (isOf(absence, killedAt)) refsOf.set(room, [...(refsOf.get(room) ?? []), ...absence.refs])
    // A node that is frozen or cut off learns of nothing meanwhile, and counts silence from its return on.
    const hears = ({ node }: ClusterClient): boolean => node === null || node.lastApartAt < killedAt
    return this.#clients.some((client) => client.joined && hears(client) && client.seesAny(refsOf.get(client.room) ?? []))
  }

  #absencesAt(killedAt: number): readonly Absence[] {
    return this.#clients.flatMap(({ absences }) => absences.filter((absence) => isOf(absence, killedAt)))
  }
}

function isOf({ lostAt }: Absence, killedAt: number): boolean {
  return lostAt >= killedAt && lostAt <= killedAt + NOTICED_WITHIN_MS
}

export function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, at most ${at(1)} ms`
}
