import { append, getOrMake } from '../catalog/multimap.ts'
import type { Granted } from '../decide/decision.ts'
import { logPositionOf } from '../replication/change-row.ts'
import { formatPosition } from '../replication/position.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { FeedChannel, PositionKind } from '../subscribe/feed-channel.ts'
import { errorInsteadOfRow, subscribersOf, type PendingDelivery, type Subscription } from '../subscribe/audience.ts'
import type { Computed, GrantedDeliveries } from './outcome.ts'
import { errorData, viewOf } from './table-view.ts'

export interface DeliverContext {
  readonly epoch: string
  /** Values of the change that the stream does not hold. */
  readonly computed: ReadonlyMap<RowChange, Computed>
  /** Whether a channel is left out, since the change is decided for it again, or in isolation; `null`: none is. */
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
}

/** Receivers that get the same `data`. */
interface Variant {
  readonly of: Receiver
  /** The written columns: `attnum`s, comma separated; empty for an error. */
  readonly columns: string
  readonly position: PositionKind
  /** By the ids of their entries; legacy channels get none. */
  readonly channels: Map<string | null, FeedChannel[]>
}

/**
 * Sends a change to all audiences that it was granted to. A channel gets one message for all of its entries that get the
 * same, and channels that get the same share its bytes.
 */
export function deliver(change: RowChange, granted: GrantedDeliveries, context: DeliverContext): Delivered {
  const variants = new Variants()
  for (const ofChannel of receiversOf(change, granted, context.excluded))
    if (!Array.isArray(ofChannel)) variants.add(ofChannel, String(ofChannel.subscription.entry.id))
    else for (const same of alikeOf(ofChannel)) variants.add(same[0]!, idsOf(same))
  return sendAll(change, variants, context)
}

/** One entry a channel, in the order of the deliveries. A list only where the channel has several subscriptions: most have one. */
function receiversOf(change: RowChange, granted: GrantedDeliveries, excluded: DeliverContext['excluded']): (Receiver | Receiver[])[] {
  const all: (Receiver | Receiver[])[] = []
  let several: Map<FeedChannel, Receiver[]> | null = null
  for (const [delivery, each] of granted) {
    const fault = errorInsteadOfRow(delivery.audience, change)
    for (const subscription of subscribersOf(delivery)) {
      const { channel } = subscription
      // A replay sends to channels that do not receive live changes. It names them in `only`.
      if (channel.closed || (delivery.only === undefined && !channel.receives) || excluded?.(change, delivery, channel) === true) continue
      const receiver = { subscription, granted: each, fault }
      if (channel.subscriptions.size === 1) {
        all.push(receiver)
        continue
      }
      const known = several?.get(channel)
      if (known !== undefined) {
        known.push(receiver)
        continue
      }
      const ofChannel = [receiver]
      all.push(ofChannel)
      ;(several ??= new Map<FeedChannel, Receiver[]>()).set(channel, ofChannel)
    }
  }
  return all
}

/** The same error, or the same record and the same old row. */
function isAlike(one: Receiver, other: Receiver): boolean {
  if (one.fault !== null || other.fault !== null) return one.fault === other.fault
  return one.granted.record === other.granted.record && one.granted.old === other.granted.old
}

function columnsOf({ fault, subscription: { columns } }: Receiver): string {
  return fault === null ? columns : ''
}

function alikeOf(receivers: readonly Receiver[]): Receiver[][] {
  const groups: Receiver[][] = []
  for (const receiver of receivers) {
    const group = groups.find(([first]) => columnsOf(first!) === columnsOf(receiver) && isAlike(first!, receiver))
    if (group === undefined) groups.push([receiver])
    else group.push(receiver)
  }
  return groups
}

class Variants {
  /** By the columns that are written. */
  readonly byColumns = new Map<string, Variant[]>()
  /** Most receivers get what the one before them got. */
  #last: Variant | null = null

  /** Adds the channel of the receiver, with the `ids` of all of its entries that get the same. */
  add(of: Receiver, ids: string): void {
    const { channel } = of.subscription
    if (this.#last === null || !isFor(this.#last, of)) this.#last = this.#variantFor(of)
    append(this.#last.channels, channel.request.legacy ? null : ids, channel)
  }

  #variantFor(of: Receiver): Variant {
    const columns = columnsOf(of)
    const ofColumns = getOrMake(this.byColumns, columns, (): Variant[] => [])
    let variant = ofColumns.find((each) => isFor(each, of))
    if (variant === undefined)
      ofColumns.push((variant = { of, columns, position: of.subscription.channel.positionKind, channels: new Map() }))
    return variant
  }
}

function isFor({ of, columns, position }: Variant, receiver: Receiver): boolean {
  return columns === columnsOf(receiver) && position === receiver.subscription.channel.positionKind && isAlike(of, receiver)
}

function sendAll(change: RowChange, variants: Variants, context: DeliverContext): Delivered {
  const logPosition = logPositionOf(change)
  let receivers = 0
  let payload: Uint8Array | null = null
  for (const ofColumns of variants.byColumns.values())
    for (const variant of ofColumns) {
      let data: string | null = null
      for (const [ids, channels] of variant.channels) {
        try {
          data ??= dataOf(change, variant, context)
        } catch (error) {
          context.failed(error, channels)
          continue
        }
        const bytes = (payload = Buffer.from(ids === null ? data : `{"data":${data},"ids":[${ids}]}`))
        for (const channel of channels) channel.deliver(logPosition, ids === null ? change.action : 'postgres_changes', bytes)
        receivers += channels.length
      }
    }
  return { receivers, payload }
}

function idsOf(receivers: readonly Receiver[]): string {
  return receivers
    .toSorted((a, b) => a.subscription.order - b.subscription.order)
    .map(({ subscription }) => subscription.entry.id)
    .join()
}

function dataOf(change: RowChange, { of, position }: Variant, { epoch, computed }: DeliverContext): string {
  const { subscription, granted, fault } = of
  if (fault !== null) return errorData(change, fault)
  return viewOf(change.table, subscription.columns).data(change, {
    oldExtent: granted.old === 'image' ? 'identity' : 'key',
    superseded: change.action === 'DELETE' || granted.record === 'image' ? null : granted.record,
    position: position === 'none' ? null : formatPosition({ epoch, ...logPositionOf(change), isIncomplete: position === 'incomplete' }),
    computed: computed.get(typeof granted.record === 'string' ? change : granted.record) ?? null,
  })
}
