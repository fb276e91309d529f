import { append, getOrMake } from '../catalog/multimap.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Audience, PendingDelivery } from './audience.ts'
import type { AudienceGroup } from './audience-group.ts'

interface GroupRows {
  readonly yes: RowChange[]
  /** Only Postgres can evaluate the group's filters for these. */
  readonly ask: RowChange[]
  readonly subscriptions: number
  /** How many of its audiences were granted a row of `yes`, in all. */
  granted: number
}

/** A batch that is expected to make this many deliveries takes no more changes. */
const MAX_WEIGHT = 100_000

/** Changes that are decided together, with the audiences that they may concern. */
export class Batch {
  readonly changes: RowChange[] = []
  readonly #groups = new Map<AudienceGroup, GroupRows>()
  readonly #rows = { yes: new Map<Audience, RowChange[]>(), ask: new Map<Audience, RowChange[]>() }
  /** How many deliveries it is expected to make at once. */
  weight = 0

  want(audience: Audience, change: RowChange, verdict: 'yes' | 'ask'): void {
    if (verdict === 'yes') this.weight += audience.members.size
    append(this.#rows[verdict], audience, change)
  }

  /** As {@link want}, for all audiences of the group. */
  wantAll(group: AudienceGroup, change: RowChange, verdict: 'yes' | 'ask'): void {
    const rows = getOrMake(this.#groups, group, () => ({ yes: [], ask: [], subscriptions: group.subscriptions, granted: 0 }))
    if (verdict === 'yes') this.weight += rows.subscriptions * group.share
    rows[verdict].push(change)
  }

  get pending(): PendingDelivery[] {
    const pending: PendingDelivery[] = []
    for (const [{ audiences }, { yes, ask }] of this.#groups)
      for (const audience of audiences) {
        if (yes.length > 0) pending.push({ audience, rows: yes, asks: false })
        if (ask.length > 0) pending.push({ audience, rows: ask, asks: true })
      }
    for (const [audience, rows] of this.#rows.yes) pending.push({ audience, rows, asks: false })
    for (const [audience, rows] of this.#rows.ask) pending.push({ audience, rows, asks: true })
    return pending
  }

  get isFull(): boolean {
    return this.weight >= MAX_WEIGHT
  }

  /** Learns from what was granted, by row, how many deliveries the next batches will make. */
  noteShares(decided: ReadonlyMap<RowChange, ReadonlyMap<PendingDelivery, unknown>>): void {
    let most = 0
    for (const { yes, subscriptions } of this.#groups.values()) most += yes.length * subscriptions
    // Not full even if every subscription saw every change: the shares did not matter.
    if (most < MAX_WEIGHT) return
    const byList = new Map<readonly RowChange[], GroupRows>(Array.from(this.#groups.values(), (rows) => [rows.yes, rows]))
    for (const deliveries of decided.values())
      for (const { rows } of deliveries.keys()) {
        const ofGroup = byList.get(rows)
        if (ofGroup !== undefined) ofGroup.granted++
      }
    for (const [group, { yes, granted }] of this.#groups) group.noteShare(granted, group.audiences.size * yes.length)
  }
}
