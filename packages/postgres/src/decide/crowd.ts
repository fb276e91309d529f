import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Binding, FeedChannel, Subscription } from '../subscribe/feed-channel.ts'
import type { Content } from './content.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import type { TableEntry } from '../catalog/table-entry.ts'

/** A change counts at least as one in so many of those who are asked about: that bounds the questions of a batch. */
const MIN_SHARE = 1 / 26

/**
 * Subscriptions of one table that want every row that they may see. Nothing but Postgres tells them apart, so each of their
 * identities is asked about all rows of a batch, and pairs of change and subscription are made of what was granted only.
 */
export class Crowd {
  readonly members: Set<Subscription> = new Set()
  /** How many of them see a change, as far as is known. */
  #share = 1

  /** How many deliveries a change is expected to make. */
  get weight(): number {
    return this.members.size * this.#share
  }

  /** It grows at once and falls slowly, so that few batches make more deliveries than was expected. */
  noteShare(share: number): void {
    this.#share = Math.max(share, this.#share / 2, MIN_SHARE)
  }
}

/** Whether nothing but Postgres can tell which new rows are for the subscription. */
export function isOfCrowd({ filters }: Subscription, { identity, fault, owner }: Binding): boolean {
  return filters.length === 0 && identity !== null && fault === null && owner === null
}

/** What the crowd's subscriptions of one identity that watch the same event want to see. */
export interface CrowdQuestion {
  /** What the catalog said when the identity was taken: both go together. */
  readonly entry: TableEntry
  readonly identity: CheckIdentity
  readonly members: Subscription[]
  /** The same array for all who want the same. */
  readonly changes: readonly RowChange[]
  /** What may be sent, by change. */
  granted: ReadonlyMap<RowChange, CrowdGrant>
}

export interface CrowdGrant {
  readonly content: Content
  /** All of the old row may be sent. */
  readonly wholeOld: boolean
}

/** A crowd's questions, and those of its subscriptions that are no longer of it, with the changes that they want. */
export interface CrowdQuestions {
  readonly questions: readonly CrowdQuestion[]
  readonly former: readonly { readonly subscription: Subscription; readonly changes: readonly RowChange[] }[]
}

export function questionsOf(crowd: Crowd, changes: readonly RowChange[], entry: TableEntry | null): CrowdQuestions {
  const questions = new Map<string, Map<CheckIdentity, CrowdQuestion>>()
  const wantedBy = new Map<string, readonly RowChange[]>()
  const former: { readonly subscription: Subscription; readonly changes: readonly RowChange[] }[] = []
  for (const subscription of crowd.members) {
    const { binding, channel } = subscription
    const { event } = subscription.entry
    if (binding === null || !channel.live || channel.closed) continue
    let wanted = wantedBy.get(event)
    if (wanted === undefined) wantedBy.set(event, (wanted = event === '*' ? changes : changes.filter(({ action }) => action === event)))
    if (wanted.length === 0) continue
    if (entry === null || binding.identity === null || !isOfCrowd(subscription, binding)) {
      former.push({ subscription, changes: wanted })
      continue
    }
    let ofEvent = questions.get(event)
    if (ofEvent === undefined) questions.set(event, (ofEvent = new Map()))
    const question = ofEvent.get(binding.identity)
    if (question !== undefined) question.members.push(subscription)
    else ofEvent.set(binding.identity, { entry, identity: binding.identity, members: [subscription], changes: wanted, granted: new Map() })
  }
  return { questions: [...questions.values()].flatMap((ofEvent) => [...ofEvent.values()]), former }
}

export function channelsOf(subscriptions: Iterable<Subscription>): Set<FeedChannel> {
  const channels = new Set<FeedChannel>()
  for (const { channel } of subscriptions) channels.add(channel)
  return channels
}
