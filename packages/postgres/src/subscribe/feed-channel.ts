import type { ChangesFault } from '@tidewire/protocol'
import type { ChangeListener, ChangeRequest, Identity } from '@tidewire/server'
import type { Place } from '../replication/position.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { ChangeEntry } from './change-entry.ts'
import type { CheckIdentity } from '../catalog/identity.ts'
import type { PreparedFilter } from './filter-test.ts'
import type { IndexPlace } from './subscription-index.ts'

/** One channel that asked for changes. */
export class FeedChannel {
  readonly request: ChangeRequest
  readonly listener: ChangeListener
  readonly entries: readonly ChangeEntry[]
  readonly subscriptions: Set<Subscription> = new Set()
  identity: Identity
  /** Grows with every new identity: what was decided for an older one does not count. */
  generation = 0
  closed = false
  /** Changes come live. Before that, they are replayed or not yet wanted. */
  live = false
  /** Only changes after this are sent; `null`: not known yet, so they are held. */
  after: Place | null = null
  /** It is being sent what it missed, up to `after`; an attempt that was interrupted goes on from there. */
  replaying = false
  readonly #toldOnce = new Set<string>()
  #held: { readonly place: Place; readonly event: string; readonly payload: Uint8Array }[] = []

  constructor(request: ChangeRequest, entries: readonly ChangeEntry[], listener: ChangeListener) {
    this.request = request
    this.listener = listener
    this.entries = entries
    this.identity = request.identity
  }

  /** Deletes come only of rows that its user could see (rule D14). */
  get authorizesDeletes(): boolean {
    return this.request.deletes === 'authorized'
  }

  /** It knows where it is, and everything after that comes live. */
  get isSubscribed(): boolean {
    return this.after !== null && !this.replaying
  }

  deliver(place: Place, event: string, payload: Uint8Array): void {
    if (this.closed) return
    if (this.after === null) this.#held.push({ place, event, payload })
    else if (isAfter(place, this.after)) this.listener.change(event, payload)
  }

  /** From now on it is known what is sent; what was held follows. */
  startAfter(place: Place): void {
    this.after = place
    const held = this.#held
    this.#held = []
    for (const each of held) this.deliver(each.place, each.event, each.payload)
  }

  /** No changes flow (rule D17). */
  refuse(message: string, fault: ChangesFault): void {
    this.tell('error', message, { ...fault })
  }

  refuseOnce(message: string, fault: ChangesFault): void {
    this.#once(message, () => this.refuse(message, fault))
  }

  /** Some changes are withheld; the others come as before (rule D15). */
  warn(message: string, fault: ChangesFault): void {
    this.tell('error', message, { live: true, ...fault })
  }

  warnOnce(message: string, fault: ChangesFault): void {
    this.#once(message, () => this.warn(message, fault))
  }

  /** Advice for clients of Tidewire; others take every error for the end of a channel. */
  adviseOnce(message: string, fault: ChangesFault): void {
    if (this.request.positions) this.warnOnce(message, fault)
  }

  tell(status: 'ok' | 'error', message: string, extra?: Parameters<ChangeListener['system']>[2]): void {
    if (this.closed) return
    if (extra === undefined || Object.keys(extra).length === 0) this.listener.system(status, message)
    else this.listener.system(status, message, extra)
  }

  #once(message: string, tell: () => void): void {
    if (this.#toldOnce.has(message)) return
    this.#toldOnce.add(message)
    tell()
  }
}

/** Whether it is a delete that comes only to those who could see the row: to them, all of it may be told. */
export function isAuthorizedDelete({ channel }: Subscription, { action }: RowChange): boolean {
  return action === 'DELETE' && channel.authorizesDeletes
}

function isAfter(place: Place, other: Place): boolean {
  return place.commitLsn === other.commitLsn ? place.seq > other.seq : place.commitLsn > other.commitLsn
}

/** One table that one entry of a channel watches. */
export interface Subscription {
  readonly channel: FeedChannel
  readonly entry: ChangeEntry
  /** The entry's place in the request. */
  readonly order: number
  readonly oid: number
  readonly filters: readonly PreparedFilter[]
  readonly select: ReadonlySet<string> | null
  /** What the catalog and the identity make of it; `null` until they are known. */
  binding: Binding | null
}

export interface Binding {
  readonly role: string
  /** Why the role gets no rows, as the reference says it; `null`: it does. */
  readonly fault: 'unauthorized' | 'no-primary-key' | null
  /** `attnum`s of the columns that it is told, comma separated. */
  readonly columns: string
  /** Whom to check rows for; `null`: there is nothing to check. */
  readonly identity: CheckIdentity | null
  /** The table shows deleted rows and old values by their key only. */
  readonly keyOnly: boolean
  readonly owner: { readonly column: string; readonly value: string } | null
  readonly place: IndexPlace
}
