import { append, getOrMake } from '../catalog/multimap.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Audience, PendingDelivery } from './audience.ts'

/** A change counts at least as one delivery in so many subscribers: that bounds the questions of a batch. */
const MIN_SHARE = 1 / 26

/** Audiences of one table and event that want every row that they may see. They share one list of rows in a batch. */
export class UnfilteredAudiences {
  readonly audiences: Set<Audience> = new Set()
  /** How many of their subscriptions see a change, as far as is known. */
  share = 1

  /** It grows at once and falls slowly, so that few batches make more deliveries than was expected. */
  noteShare(granted: number, pairs: number): void {
    if (pairs > 0) this.share = Math.max(granted / pairs, this.share / 2, MIN_SHARE)
  }
}

/** Changes that are decided together, with the audiences that they may concern. */
export class Batch {
  readonly changes: RowChange[] = []
  readonly #rows = { yes: new Map<Audience, RowChange[]>(), ask: new Map<Audience, RowChange[]>() }
  readonly #unfiltered = new Map<UnfilteredAudiences, { readonly rows: RowChange[]; readonly subscriptions: number }>()
  /** How many deliveries it is expected to make at once. */
  weight = 0

  want(audience: Audience, change: RowChange, verdict: 'yes' | 'ask'): void {
    if (verdict === 'yes') this.weight += audience.members.size
    append(this.#rows[verdict], audience, change)
  }

  wantAll(unfiltered: UnfilteredAudiences, change: RowChange): void {
    const { rows, subscriptions } = getOrMake(this.#unfiltered, unfiltered, () => {
      return { rows: [], subscriptions: [...unfiltered.audiences].reduce((sum, { members }) => sum + members.size, 0) }
    })
    this.weight += subscriptions * unfiltered.share
    rows.push(change)
  }

  get pending(): PendingDelivery[] {
    const pending: PendingDelivery[] = []
    for (const [{ audiences }, { rows }] of this.#unfiltered)
      for (const audience of audiences) pending.push({ audience, rows, asks: false })
    for (const [audience, rows] of this.#rows.yes) pending.push({ audience, rows, asks: false })
    for (const [audience, rows] of this.#rows.ask) pending.push({ audience, rows, asks: true })
    return pending
  }

  /** So that the weight of the next batches is known: `granted` says how many rows an audience got. */
  noteShares(granted: (audience: Audience) => number): void {
    for (const [unfiltered, { rows, subscriptions }] of this.#unfiltered) {
      let deliveries = 0
      for (const audience of unfiltered.audiences) deliveries += granted(audience) * audience.members.size
      unfiltered.noteShare(deliveries, subscriptions * rows.length)
    }
  }
}
