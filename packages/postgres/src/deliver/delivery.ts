import { formatPosition } from '../replication/position.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { placeOf } from '../subscribe/change-ring.ts'
import type { Content } from '../decide/content.ts'
import type { Candidate } from '../decide/decision.ts'
import { isAuthorizedDelete, type FeedChannel } from '../subscribe/feed-channel.ts'
import type { Supplied } from './supplied-columns.ts'
import { faultOf, viewOf } from '../subscribe/table-feed.ts'
import { errorData } from './table-view.ts'

/** What a message says, for all who are told the same. */
interface Variant {
  readonly data: string
  /** By the ids' text. */
  readonly messages: Map<string, { readonly payload: Uint8Array; readonly channels: FeedChannel[] }>
}

export interface DeliveryContext {
  readonly epoch: string
  /** What the stream does not tell of the change. */
  readonly supplied: (row: RowChange) => Supplied | null
}

/** How many channels were told, and what one of them was. */
export interface Delivered {
  readonly receivers: number
  readonly payload: Uint8Array | null
}

export const TO_NOBODY: Delivered = { receivers: 0, payload: null }

/**
 * Sends a change to everybody whom it was granted. A channel gets one message for all of its entries that are told the
 * same, and channels that are told the same share its bytes.
 */
export function deliver(change: RowChange, candidates: readonly Candidate[], context: DeliveryContext): Delivered {
  const variants = new Map<string, Variant>()
  const contents = new Map<Content, number>()
  for (const [channel, told] of byChannel(candidates)) {
    for (const [key, granted] of byVariant(channel, told, contents)) {
      let variant = variants.get(key)
      if (variant === undefined) variants.set(key, (variant = { data: dataOf(change, granted[0]!, context), messages: new Map() }))
      const ids = granted
        .toSorted((a, b) => a.subscription.order - b.subscription.order)
        .map(({ subscription }) => subscription.entry.id)
        .join()
      const messageKey = channel.request.legacy ? '' : ids
      let message = variant.messages.get(messageKey)
      if (message === undefined) {
        const text = channel.request.legacy ? variant.data : `{"data":${variant.data},"ids":[${ids}]}`
        variant.messages.set(messageKey, (message = { payload: Buffer.from(text), channels: [] }))
      }
      message.channels.push(channel)
    }
  }
  const place = placeOf(change)
  let delivered = TO_NOBODY
  for (const { messages } of variants.values()) {
    for (const { payload, channels } of messages.values()) {
      for (const channel of channels) channel.deliver(place, channel.request.legacy ? change.action : 'postgres_changes', payload)
      delivered = { receivers: delivered.receivers + channels.length, payload }
    }
  }
  return delivered
}

function byChannel(candidates: readonly Candidate[]): Map<FeedChannel, Candidate[]> {
  const channels = new Map<FeedChannel, Candidate[]>()
  for (const candidate of candidates) {
    if (!candidate.allowed) continue
    const { channel } = candidate.subscription
    const told = channels.get(channel)
    if (told === undefined) channels.set(channel, [candidate])
    else told.push(candidate)
  }
  return channels
}

/** `contents` numbers what is sent, for all channels alike. */
function byVariant(channel: FeedChannel, told: readonly Candidate[], contents: Map<Content, number>): Map<string, Candidate[]> {
  const variants = new Map<string, Candidate[]>()
  for (const candidate of told) {
    const { binding } = candidate.subscription
    if (binding === null) continue
    let content = contents.get(candidate.content)
    if (content === undefined) contents.set(candidate.content, (content = contents.size))
    const fault = faultOf(binding, candidate.change)
    const key =
      fault ??
      `${binding.columns} ${binding.keyOnly} ${isAuthorizedDelete(candidate.subscription, candidate.change)} ${content} ${candidate.wholeOld} ${channel.request.positions}`
    const same = variants.get(key)
    if (same === undefined) variants.set(key, [candidate])
    else same.push(candidate)
  }
  return variants
}

function dataOf(change: RowChange, { subscription, content, wholeOld }: Candidate, { epoch, supplied }: DeliveryContext): string {
  const binding = subscription.binding!
  const fault = faultOf(binding, change)
  if (fault !== null) return errorData(change, fault)
  const deleted = change.action === 'DELETE'
  const secured = binding.keyOnly || (deleted && change.table.rowSecurity)
  const granted = deleted ? isAuthorizedDelete(subscription, change) && content === 'image' : wholeOld
  return viewOf(change.table, binding.columns).data(change, {
    oldExtent: secured && !granted ? 'key' : 'identity',
    superseded: deleted || content === 'image' ? null : content,
    position: subscription.channel.request.positions ? formatPosition({ epoch, ...placeOf(change) }) : null,
    supplied: supplied(typeof content === 'string' ? change : content),
  })
}
