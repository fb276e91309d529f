import { append } from '../catalog/multimap.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Audience, PendingDelivery } from './audience.ts'

/** A change counts at least as one delivery in so many subscribers: that bounds the questions of a batch. */
const MIN_SHARE = 1 / 26

/** Audiences of one table and event that want every row that they may see. They share one list of rows in a batch. */
export class UnfilteredAudiences {
  readonly audiences: Set<Audience> = new Set()
  /** How many subscriptions they have. */
  size = 0
  /** How many of these see a change, as far as is known. */
  #share = 1

  get weight(): number {
    return this.size * this.#share
  }

  /** It grows at once and falls slowly, so that few batches make more deliveries than was expected. */
  noteShare(granted: number, pairs: number): void {
    if (pairs > 0) this.#share = Math.max(granted / pairs, this.#share / 2, MIN_SHARE)
  }
}

/** Changes that are decided together, with the audiences that they may concern. */
export class Batch {
  readonly changes: RowChange[] = []
  readonly #rows = new Map<Audience, RowChange[]>()
  readonly #apart = new Map<Audience, RowChange[]>()
  readonly #unfiltered = new Map<UnfilteredAudiences, RowChange[]>()
  /** How many deliveries it is expected to make. */
  weight = 0

  want(audience: Audience, change: RowChange): void {
    this.weight += audience.members.size
    append(this.#rows, audience, change)
  }

  /** Only Postgres can evaluate the audience's filters: the others do not wait for that. */
  wantApart(audience: Audience, change: RowChange): void {
    append(this.#apart, audience, change)
  }

  wantAll(unfiltered: UnfilteredAudiences, change: RowChange): void {
    this.weight += unfiltered.weight
    append(this.#unfiltered, unfiltered, change)
  }

  /** What is to be decided: at once, and apart from the ordered path, where `isApart` sends audiences as well. */
  pending(isApart: (audience: Audience) => boolean): { readonly atOnce: PendingDelivery[]; readonly apart: PendingDelivery[] } {
    const atOnce: PendingDelivery[] = []
    const apart: PendingDelivery[] = []
    const add = (audience: Audience, rows: readonly RowChange[]): void => void (isApart(audience) ? apart : atOnce).push({ audience, rows })
    for (const [{ audiences }, rows] of this.#unfiltered) for (const audience of audiences) add(audience, rows)
    for (const [audience, rows] of this.#rows) add(audience, rows)
    for (const [audience, rows] of this.#apart) apart.push({ audience, rows })
    return { atOnce, apart }
  }

  /** So that the weight of the next batches is known: `granted` says how many rows an audience got. */
  noteShares(granted: (audience: Audience) => number): void {
    for (const [unfiltered, rows] of this.#unfiltered) {
      let deliveries = 0
      for (const audience of unfiltered.audiences) deliveries += granted(audience) * audience.members.size
      unfiltered.noteShare(deliveries, unfiltered.size * rows.length)
    }
  }
}
