import type { GapReason } from '@tidewire/protocol'
import type { Lsn } from '../replication/lsn.ts'
import type { Place } from '../replication/position.ts'
import { placeOf, type ChangeRing, type KeptChange } from './change-ring.ts'
import { candidateFor, type Candidate } from '../decide/decision.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { FeedChannel, Subscription } from './feed-channel.ts'
import type { ColumnText } from './subscription-index.ts'
import { mayConcern } from './table-feed.ts'

export interface Replayer {
  ring(): ChangeRing
  epoch(): string | null
  /** When everything before `lsn` was delivered to those who are live. */
  processed(lsn: Lsn): Promise<void>
  /** Runs while nothing is being decided or delivered. */
  betweenBatches<T>(work: () => Promise<T>): Promise<T>
  /** What the subscription's filters may look at. */
  filterTextOf(subscription: Subscription, change: RowChange): ColumnText
  /** Decides and delivers; rejects when there is no database. */
  send(changes: readonly KeptChange[], candidatesOf: (kept: KeptChange) => readonly Candidate[]): Promise<void>
}

export type ReplayOutcome = { readonly recovered: true } | { readonly recovered: false; readonly reason: GapReason }

const CHUNK = 256

/**
 * Sends a channel what it missed, in order and as far as it may see it now, and makes it live without a gap. The channel's
 * subscriptions are registered already. When something is missing, the channel is not live afterwards.
 */
export async function replay(channel: FeedChannel, since: Place, startLsn: Lsn, replayer: Replayer): Promise<ReplayOutcome> {
  const epoch = replayer.epoch()
  const lost = (): ReplayOutcome | null => {
    if (replayer.epoch() !== epoch) return { recovered: false, reason: 'other-epoch' }
    if (!replayer.ring().reaches(channel.after ?? since)) return { recovered: false, reason: 'position-too-old' }
    return hasGap(channel, channel.after ?? since, replayer) ? { recovered: false, reason: 'publication-changed' } : null
  }
  const begin = lost()
  if (begin !== null) return begin
  // After a restart, what was missed may still be on its way from the slot.
  await replayer.processed(startLsn)
  let cursor = channel.after ?? since
  const step = async (): Promise<'more' | 'done' | ReplayOutcome> => {
    if (replayer.epoch() !== epoch) return { recovered: false, reason: 'other-epoch' }
    if (!replayer.ring().reaches(cursor)) return { recovered: false, reason: 'position-too-old' }
    if (hasGap(channel, cursor, replayer)) return { recovered: false, reason: 'publication-changed' }
    const changes = replayer.ring().after(cursor, CHUNK)
    if (channel.closed || changes.length === 0) return 'done'
    channel.after = cursor
    await replayer.send(changes, (kept) => candidatesOf(channel, kept, replayer))
    cursor = placeOf(changes.at(-1)!.change)
    return 'more'
  }
  for (;;) {
    const result = await step()
    if (typeof result === 'object') return failed(channel, result)
    if (result === 'more') continue
    // Nothing moves while the last few are sent, so nothing is missed between the ring and what comes live.
    const last = await replayer.betweenBatches(async () => {
      for (let left = 2; left > 0; left--) {
        const outcome = await step()
        if (outcome === 'more') continue
        if (outcome === 'done') {
          channel.live = true
          channel.startAfter(cursor)
        }
        return outcome
      }
      return 'more' as const
    })
    if (typeof last === 'object') return failed(channel, last)
    if (last === 'done') return { recovered: true }
  }
}

function hasGap(channel: FeedChannel, place: Place, replayer: Replayer): boolean {
  return [...channel.subscriptions].some(({ oid }) => replayer.ring().hasGap(oid, place))
}

function failed(channel: FeedChannel, outcome: ReplayOutcome): ReplayOutcome {
  channel.after = null
  return outcome
}

function candidatesOf(channel: FeedChannel, { change }: KeptChange, replayer: Replayer): Candidate[] {
  if (change.action === 'TRUNCATE') return []
  return [...channel.subscriptions]
    .filter(
      (subscription) =>
        subscription.oid === change.table.oid && mayConcern(subscription, change, replayer.filterTextOf(subscription, change)),
    )
    .map((subscription) => candidateFor(change, subscription))
}
