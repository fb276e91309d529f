import { append, getOrMake, groupBy } from '../catalog/multimap.ts'
import type { Granted } from '../decide/decision.ts'
import { logPositionOf } from '../replication/change-row.ts'
import { formatPosition } from '../replication/position.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import { faultOf, subscribersOf, type PendingDelivery, type Subscription } from '../subscribe/audience.ts'
import type { Computed } from './computed-columns.ts'
import { errorData, viewOf } from './table-view.ts'

/** The deliveries that get something of a change. */
export type GrantedDeliveries = ReadonlyMap<PendingDelivery, Granted>

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
  /** Equal where the same is granted. */
  readonly sharing: string
}

/** The same `data` for channels whose entries have the same ids. */
interface Message {
  readonly of: Receiver
  readonly channels: FeedChannel[]
}

/** By what is granted, by the columns that are written, and by the ids of the entries; legacy channels get none. */
type Messages = Map<string, Map<string, Map<string | null, Message>>>

/** With log positions and without. */
type AllMessages = readonly [Messages, Messages]

/**
 * Sends a change to all audiences that it was granted to. A channel gets one message for all of its entries that get the
 * same, and channels that get the same share its bytes.
 */
export function deliver(change: RowChange, granted: GrantedDeliveries, context: DeliverContext): Delivered {
  const messages: AllMessages = [new Map(), new Map()]
  const several = new Map<FeedChannel, Receiver[]>()
  const current = new Map<RowChange, number>()
  for (const [delivery, each] of granted) {
    const fault = faultOf(delivery.audience, change)
    const sharing = fault ?? sharingOf(each, current)
    for (const subscription of subscribersOf(delivery)) {
      const { channel } = subscription
      if (channel.closed || (delivery.only === undefined && !channel.receives) || context.excluded?.(change, delivery, channel) === true)
        continue
      const receiver = { subscription, granted: each, fault, sharing }
      if (channel.subscriptions.size === 1) addTo(messages, receiver, idsOf([receiver]))
      else append(several, channel, receiver)
    }
  }
  for (const receivers of several.values())
    for (const same of groupBy(receivers, (each) => `${columnsOf(each)} ${each.sharing}`).values()) addTo(messages, same[0]!, idsOf(same))
  return sendAll(change, messages, context)
}

function sharingOf({ record, old }: Granted, current: Map<RowChange, number>): string {
  if (typeof record === 'string') return SHARING[record][old]
  return `${getOrMake(current, record, () => current.size)} ${old}`
}

/** Made once: a map finds a text that it has met before without reading it. */
const SHARING = { image: { image: 'image image', key: 'image key' }, key: { image: 'key image', key: 'key' } }

function columnsOf({ fault, subscription: { columns } }: Receiver): string {
  return fault === null ? columns : ''
}

function addTo([withPositions, plain]: AllMessages, of: Receiver, ids: string): void {
  const { channel } = of.subscription
  const messages = channel.request.positions ? withPositions : plain
  const ofSharing = getOrMake(messages, of.sharing, () => new Map<string, Map<string | null, Message>>())
  const ofColumns = getOrMake(ofSharing, columnsOf(of), () => new Map<string | null, Message>())
  getOrMake(ofColumns, channel.request.legacy ? null : ids, () => ({ of, channels: [] })).channels.push(channel)
}

function sendAll(change: RowChange, messages: AllMessages, context: DeliverContext): Delivered {
  const logPosition = logPositionOf(change)
  let delivered = NOT_DELIVERED
  for (const byIds of messages.flatMap((each) => [...each.values()]).flatMap((ofSharing) => [...ofSharing.values()])) {
    let data: string | null = null
    for (const [ids, { of, channels }] of byIds) {
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
