import { append, getOrMake, groupBy } from '../catalog/multimap.ts'
import type { Granted } from '../decide/decision.ts'
import { logPositionOf } from '../replication/change-row.ts'
import { formatPosition } from '../replication/position.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import { faultOf, subscribersOf, type PendingDelivery, type Subscription } from '../subscribe/audience.ts'
import type { Computed } from './project.ts'
import { errorData, viewOf } from './table-view.ts'

/** A change that was granted to an audience. */
export interface GrantedDelivery {
  readonly delivery: PendingDelivery
  readonly granted: Granted
}

export interface DeliverContext {
  readonly epoch: string
  /** What the stream does not hold of the change. */
  readonly computed: ReadonlyMap<RowChange, Computed>
  /** Whether a channel is left out, since the change is decided again or apart for it; `null`: none is. */
  readonly excluded: ((change: RowChange, delivery: PendingDelivery, channel: FeedChannel) => boolean) | null
  /** The change cannot be written for these channels. */
  failed(error: unknown, channels: readonly FeedChannel[]): void
}

/** How many channels got the change, and what one of them got. */
export interface Delivered {
  readonly receivers: number
  readonly payload: Uint8Array | null
}

export const NOT_DELIVERED: Delivered = { receivers: 0, payload: null }

/** A subscription that gets the change, and how. */
interface Receiver {
  readonly subscription: Subscription
  readonly granted: Granted
  /** The error that it gets instead of the row. */
  readonly fault: string | null
  /** Equal where the same `data` is written. */
  readonly variant: string
}

/** The same `data` for channels whose entries have the same ids. */
interface Message {
  readonly of: Receiver
  readonly channels: FeedChannel[]
}

/**
 * Sends a change to all audiences that it was granted to. A channel gets one message for all of its entries that get the
 * same, and channels that get the same share its bytes.
 */
export function deliver(change: RowChange, deliveries: readonly GrantedDelivery[], context: DeliverContext): Delivered {
  // By variant, and by the ids of the entries; legacy channels get none.
  const messages = new Map<string, Map<string | null, Message>>()
  for (const [channel, receivers] of receiversOf(change, deliveries, context.excluded)) {
    const { legacy } = channel.request
    for (const [variant, same] of receivers.length === 1
      ? [[receivers[0]!.variant, receivers] as const]
      : groupBy(receivers, (each) => each.variant)) {
      const ids = legacy ? null : idsOf(same)
      const ofVariant = getOrMake(messages, variant, () => new Map<string | null, Message>())
      getOrMake(ofVariant, ids, () => ({ of: same[0]!, channels: [] })).channels.push(channel)
    }
  }
  const logPosition = logPositionOf(change)
  let delivered = NOT_DELIVERED
  for (const ofVariant of messages.values()) {
    let data: string | null = null
    for (const [ids, { of, channels }] of ofVariant) {
      try {
        data ??= dataOf(change, of, context)
      } catch (error) {
        context.failed(error, channels)
        continue
      }
      const payload = Buffer.from(ids === null ? data : `{"data":${data},"ids":[${ids}]}`)
      for (const channel of channels) channel.deliver(logPosition, ids === null ? change.action : 'postgres_changes', payload)
      delivered = { receivers: delivered.receivers + channels.length, payload }
    }
  }
  return delivered
}

function receiversOf(
  change: RowChange,
  deliveries: readonly GrantedDelivery[],
  excluded: DeliverContext['excluded'],
): Map<FeedChannel, Receiver[]> {
  const receivers = new Map<FeedChannel, Receiver[]>()
  const current = new Map<RowChange, number>()
  for (const { delivery, granted } of deliveries) {
    const { audience, only } = delivery
    const fault = faultOf(audience, change)
    const shared =
      fault ??
      `${typeof granted.record === 'string' ? granted.record : getOrMake(current, granted.record, () => current.size)} ${granted.old}`
    for (const subscription of subscribersOf(delivery)) {
      const { channel, columns } = subscription
      if (channel.closed || (only === undefined && !channel.receives) || excluded?.(change, delivery, channel) === true) continue
      append(receivers, channel, {
        subscription,
        granted,
        fault,
        variant: fault === null ? `${columns} ${channel.request.positions} ${shared}` : shared,
      })
    }
  }
  return receivers
}

function idsOf(receivers: readonly Receiver[]): string {
  if (receivers.length === 1) return String(receivers[0]!.subscription.entry.id)
  return receivers
    .toSorted((a, b) => a.subscription.order - b.subscription.order)
    .map(({ subscription }) => subscription.entry.id)
    .join()
}

function dataOf(change: RowChange, { subscription, granted, fault }: Receiver, { epoch, computed }: DeliverContext): string {
  if (fault !== null) return errorData(change, fault)
  return viewOf(change.table, subscription.columns).data(change, {
    oldExtent: granted.old === 'image' ? 'identity' : 'key',
    superseded: change.action === 'DELETE' || granted.record === 'image' ? null : granted.record,
    position: subscription.channel.request.positions ? formatPosition({ epoch, ...logPositionOf(change) }) : null,
    computed: computed.get(typeof granted.record === 'string' ? change : granted.record) ?? null,
  })
}
