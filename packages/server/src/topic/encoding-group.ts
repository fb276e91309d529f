import type { Version } from '@tidewire/protocol'
import type { JoinPosition } from '../ports/log.ts'
import type { Reads, Subscriber } from './subscriber.ts'

/** One subscriber of a topic. The subscriber keeps it, to unsubscribe. */
export interface Subscription {
  readonly subscriber: Subscriber
  readonly group: EncodingGroup
  index: number
  /** Pending messages before this index were sent before the subscriber joined. */
  firstPending: number
  /** Where it joined in the log. Stored messages that were committed before are not for it. */
  readonly position: JoinPosition | null
}

/** The subscribers that do not get a message: its sender, or those that joined after it was committed. `null`: none. */
export type Except = Subscription | ReadonlySet<Subscriber> | null

/** The subscribers that get exactly the same bytes: one version, the same streams. */
export interface EncodingGroup {
  readonly version: Version
  readonly reads: Reads
  readonly subscriptions: Subscription[]
  pending: Pending[]
  pendingBytes: number
  /** Subscriptions that began while messages were pending. */
  late: Subscription[]
}

interface Pending {
  readonly frame: Buffer
  readonly except: Except
}

/** Writes the pending messages of a group. A subscriber that is excepted, or joined in between, gets a buffer of its own. All others share one. */
export function flushGroup(group: EncodingGroup): void {
  const { pending, subscriptions, late } = group
  group.pending = []
  group.pendingBytes = 0
  group.late = []
  const all = pending.length === 1 ? pending[0]!.frame : Buffer.concat(pending.map(({ frame }) => frame))
  const excepted = allExcepted(pending)
  for (const subscription of subscriptions) {
    const { subscriber, firstPending } = subscription
    if (firstPending === 0 && (excepted === null || !isExcepted(subscription, excepted))) subscriber.write(all, pending.length)
    else writeTo(subscription, firstPending === 0 ? pending : pending.slice(firstPending))
  }
  for (const subscription of late) subscription.firstPending = 0
}

/** Writes to one subscriber the pending messages that it is not excepted from. */
export function writeTo(subscription: Subscription, pending: readonly Pending[]): void {
  const theirs = pending.filter(({ except }) => !isExcepted(subscription, except))
  if (theirs.length > 0) subscription.subscriber.write(Buffer.concat(theirs.map(({ frame }) => frame)), theirs.length)
}

/** The subscribers that are excepted from any of the messages. Mostly all messages except the same subscriber. Then no set is made. */
function allExcepted(pending: EncodingGroup['pending']): Except {
  const first = pending[0]!.except
  if (pending.every(({ except }) => except === first)) return first
  const excepted = new Set<Subscriber>()
  for (const { except } of pending) {
    if (isSet(except)) for (const subscriber of except) excepted.add(subscriber)
    else if (except !== null) excepted.add(except.subscriber)
  }
  return excepted
}

/**
 * How many subscribers of a group are excepted. The sender may be outside all groups that get the message: where it may not read, or its
 * version cannot carry the message.
 */
export function exceptedIn(group: EncodingGroup, except: Except): number {
  if (except === null) return 0
  if (!isSet(except)) return except.group === group ? 1 : 0
  return group.subscriptions.filter(({ subscriber }) => except.has(subscriber)).length
}

/** Writes a frame to all but the excepted. The kind of `except` is examined once, outside the hot loop. */
export function writeToAll(subscriptions: readonly Subscription[], frame: Buffer, except: Except): void {
  if (isSet(except)) {
    for (const { subscriber } of subscriptions) if (!except.has(subscriber)) subscriber.write(frame, 1)
  } else for (const each of subscriptions) if (each !== except) each.subscriber.write(frame, 1)
}

function isExcepted(subscription: Subscription, except: Except): boolean {
  return except === subscription || (isSet(except) && except.has(subscription.subscriber))
}

function isSet(except: Except): except is ReadonlySet<Subscriber> {
  return except instanceof Set
}
