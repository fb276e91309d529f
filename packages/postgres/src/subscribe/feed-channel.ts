import type { GapReason } from '@tidewire/protocol'
import type { ChangeListener, ChangeRequest, Identity } from '@tidewire/server'
import type { CheckIdentity } from '../catalog/identity.ts'
import type { CatalogTable, TableName } from '../catalog/catalog-table.ts'
import { compareLogPositions, type LogPosition } from '../replication/position.ts'
import { mayName, type ChangeAction, type ChangeEntry, type Notice } from './request/change-entry.ts'
import { feedChannelTransition, type ChannelEvent, type ChannelState } from './channel-state.ts'
import { HeldChanges, type HeldChange } from './held-changes.ts'
import type { PreparedFilter } from './prepared-filter.ts'

/** What kind of position a change is sent with. */
export type PositionKind = 'none' | 'complete' | 'incomplete'

/** Above this, held changes are dropped, and the channel is notified of a gap. */
const MAX_HELD_BYTES = 8 * 1024 * 1024

export class FeedChannel {
  readonly request: ChangeRequest
  readonly listener: ChangeListener
  readonly entries: readonly ChangeEntry[]
  readonly subscriptions: Set<Subscription> = new Set()
  #identity: Identity
  #generation = 0
  readonly #onThrow: (error: unknown) => void
  /** Made when needed: an empty set costs 150 bytes, and there may be many channels. */
  #notified: Set<string> | null = null
  /** Decisions in isolation that are not over, each with the position of its first change; `null`: there are none. */
  #pending: Set<{ readonly from: LogPosition }> | null = null
  #state: ChannelState = { kind: 'waiting' }
  #subscribed = false
  /** What keeps changes from it; `null`: nothing ever has. */
  #withheldBy: Set<object | number> | null = null
  /** A gap that is announced when the channel is subscribed. */
  #due: GapReason | null = null
  readonly #held = new HeldChanges()
  /** The gap that was announced in this turn of the event loop. */
  #announced: GapReason | null = null

  constructor(request: ChangeRequest, entries: readonly ChangeEntry[], listener: ChangeListener, onThrow: (error: unknown) => void) {
    this.request = request
    this.listener = listener
    this.entries = entries
    this.#identity = request.identity
    this.#onThrow = onThrow
  }

  get identity(): Identity {
    return this.#identity
  }

  set identity(identity: Identity) {
    this.#identity = identity
    this.#generation++
  }

  /** Grows with every new identity: a decision for an older one does not count. */
  get generation(): number {
    return this.#generation
  }

  get state(): ChannelState {
    return this.#state
  }

  get closed(): boolean {
    return this.#state.kind === 'closed'
  }

  /** Whether live changes reach it, to be sent or held. Before it is registered, and while it replays, they do not. */
  get receives(): boolean {
    return this.#state.kind === 'live' || this.#state.kind === 'registered'
  }

  /** Whether its subscriptions stand in the index, and follow what tables come and go. */
  get isPlanned(): boolean {
    return this.receives || this.#state.kind === 'replaying'
  }

  /** Whether one of its entries may name the table; another one of exactly this name may take precedence. */
  mayWatch(table: TableName): boolean {
    return this.entries.some((entry) => mayName(entry, table))
  }

  /** Deletes come only of rows that its user could see (rule D14). */
  get authorizesDeletes(): boolean {
    return this.request.deletes === 'authorized'
  }

  /** Whether changes are withheld from the channel, or were withheld without a notice so far. */
  get isIncomplete(): boolean {
    return this.#due !== null || (this.#withheldBy !== null && this.#withheldBy.size > 0)
  }

  /** A client that resumes from an incomplete position gets `recovered: false`, at any server. */
  get positionKind(): PositionKind {
    if (!this.request.positions) return 'none'
    return this.isIncomplete ? 'incomplete' : 'complete'
  }

  /** Whether nothing keeps its changes back. */
  get isPrompt(): boolean {
    return this.#state.kind === 'live' && this.#pending === null
  }

  /** Whether changes that lie before its positions are yet to be decided for it. */
  get isBehind(): boolean {
    return this.#state.kind === 'replaying' || (this.#state.kind === 'live' && this.#pending !== null)
  }

  dispatch(event: ChannelEvent): void {
    this.#state = feedChannelTransition(this.#state, event)
    if (this.#state.kind === 'closed') this.#held.clear()
    else if (event.type === 'started') this.#release()
    else if (event.type === 'other-log') this.#held.clear()
  }

  deliver(position: LogPosition, event: string, payload: Uint8Array): void {
    const state = this.#state
    if (state.kind === 'registered' || (this.#pending !== null && 'after' in state && isAtOrAfter(this.#pending, position)))
      this.#hold({ position, isAnnounced: this.positionKind !== 'complete', event, payload })
    else if ('after' in state && compareLogPositions(position, state.after) > 0) this.#send(event, payload)
  }

  /** Holds changes from `from` on until the function that it returns is called, so that the channel's own order is kept. */
  defer(from: LogPosition): () => void {
    const decision = { from }
    this.#pending ??= new Set()
    this.#pending.add(decision)
    return () => {
      if (this.#pending?.delete(decision) !== true) return
      if (this.#pending.size === 0) this.#pending = null
      this.#release()
    }
  }

  /** Its user may no longer see what is held: that was decided for a former identity. */
  discardHeld(): void {
    if (this.#held.size === 0 || this.#state.kind !== 'live') return
    this.#held.clear()
    this.gap('withheld')
  }

  /** No changes flow (rule D17). */
  refuse({ message, fault }: Notice): void {
    this.notify('error', message, { ...fault })
  }

  refuseOnce(notice: Notice): void {
    if (this.#isNews(notice)) this.refuse(notice)
  }

  /** Some changes are withheld; the others come as before (rule D15). */
  warn({ message, fault }: Notice): void {
    this.notify('error', message, { live: true, ...fault })
  }

  warnOnce(notice: Notice): void {
    if (this.#isNews(notice)) this.warn(notice)
  }

  /** The notice is news again. */
  forget({ message }: Notice): void {
    this.#notified?.delete(message)
  }

  /** Changes may be missing, and the channel goes on (rule D16). Before the channel is subscribed, the client would take it for the answer. */
  gap(reason: GapReason): void {
    if (!this.#subscribed) {
      this.#due = reason
      return
    }
    this.#held.mark(true)
    if (this.#announced === reason) return
    this.#announced = reason
    queueMicrotask(() => (this.#announced = null))
    this.notify('error', 'Changes may have been missed: load your data again', { live: true, resync: true, reason })
  }

  /** Changes are withheld from it until `by` is released: an oid for changes of a table. Its positions are incomplete meanwhile. */
  withhold(by: object | number): void {
    this.#withheldBy ??= new Set()
    this.#withheldBy.add(by)
    this.#held.mark(false)
  }

  /** Returns whether `by` withheld changes. */
  release(by: object | number): boolean {
    return this.#withheldBy?.delete(by) === true
  }

  /** It is subscribed to no table any more. */
  releaseTables(): void {
    for (const by of this.#withheldBy ?? []) if (typeof by === 'number') this.release(by)
  }

  /** It was notified that it is subscribed. */
  subscribed(): void {
    this.#subscribed = true
    const due = this.#due
    this.#due = null
    if (due !== null) this.gap(due)
  }

  notify(status: 'ok' | 'error', message: string, extra?: Parameters<ChangeListener['system']>[2]): void {
    if (this.closed) return
    this.#guard(() => {
      if (extra === undefined || Object.keys(extra).length === 0) this.listener.system(status, message)
      else this.listener.system(status, message, extra)
    })
  }

  #isNews({ message }: Notice): boolean {
    this.#notified ??= new Set()
    const isNews = !this.#notified.has(message)
    this.#notified.add(message)
    return isNews
  }

  #hold(change: HeldChange): void {
    this.#held.add(change)
    if (this.#held.bytes <= MAX_HELD_BYTES) return
    this.#held.clear()
    this.gap('withheld')
  }

  /** Sends what is held, up to the first decision that is still pending. */
  #release(): void {
    const state = this.#state
    if (this.#held.size === 0 || !('after' in state)) return
    const sent = this.#held.takeBefore([...(this.#pending ?? [])].map(({ from }) => from))
    if (this.positionKind === 'incomplete' && sent.some(({ isAnnounced }) => !isAnnounced)) this.gap('withheld')
    for (const { position, event, payload } of sent) if (compareLogPositions(position, state.after) > 0) this.#send(event, payload)
  }

  #send(event: string, payload: Uint8Array): void {
    this.#guard(() => this.listener.change(event, payload))
  }

  #guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#onThrow(error)
    }
  }
}

function isAtOrAfter(pending: Iterable<{ readonly from: LogPosition }>, position: LogPosition): boolean {
  for (const { from } of pending) if (compareLogPositions(position, from) >= 0) return true
  return false
}

/** One table that one entry of a channel watches. */
export interface Subscription {
  readonly channel: FeedChannel
  readonly entry: ChangeEntry
  /** The entry's index in the request. */
  readonly order: number
  readonly oid: number
  /** With its schema, as far as it is known. */
  tableName: string
  readonly select: ReadonlySet<string> | null
  /** As prepared for the version of the table that the catalog last described; `null`: they do not fit it. */
  filters: readonly PreparedFilter[] | null
  /** `attnum`s of the columns that its role may read, comma separated. */
  columns: string
  /** `null` until table and role are known, and while its filters do not fit the table. */
  audience: Audience | null
}

/**
 * Subscriptions of one table that share role, identity, event and filters: whatever is decided about a row is decided for
 * all of them. Belongs to one version of the table; the next version has other audiences.
 */
export interface Audience {
  readonly table: CatalogTable
  readonly role: string
  /** Whose policies decide; `null`: every row of the table is visible to the role. */
  readonly identity: CheckIdentity | null
  readonly event: ChangeAction | '*'
  readonly filters: readonly PreparedFilter[]
  readonly authorizesDeletes: boolean
  /** Why the role gets errors instead of rows; `null`: it gets rows. */
  readonly fault: 'unauthorized' | 'no-primary-key' | null
  /** Every row that its policies show has this value in this column. */
  readonly owner: { readonly column: string; readonly value: string } | null
  /** Its filters pass only rows whose column has one of these texts; `null`: there is no such column. */
  readonly lookup: { readonly column: string; readonly values: readonly string[] } | null
  readonly members: Set<Subscription>
}
