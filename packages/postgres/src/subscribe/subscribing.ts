import type { ChangesFault, GapReason } from '@tidewire/protocol'
import type { CatalogPort } from '../catalog/catalog-port.ts'
import { codeOf, isTimeout, isUnreachable } from '../catalog/database-fault.ts'
import { delay, endOfTurn, type FeedRuntime } from '../feed-runtime.ts'
import { formatPosition, parsePosition, type LogPosition } from '../replication/position.ts'
import type { Lsn } from '../replication/lsn.ts'
import type { ReplicationFault } from '../replication/replication-fault.ts'
import type { Notice } from './request/change-entry.ts'
import type { ChannelEvent } from './channel-state.ts'
import type { FeedChannel } from './feed-channel.ts'
import type { FeedWindow } from './resume/feed-window.ts'
import type { ResumeFrom, ResumeQueue } from './resume/resume-queue.ts'
import { planSubscriptions } from './subscribe-plan.ts'
import type { Subscriptions } from './subscriptions.ts'

/** A channel with more entries gives the event loop back between the steps of its subscription. */
const LARGE_ENTRIES = 100
/** A database that did not answer is asked again after this wait, or up to twice that. */
const SUBSCRIBE_RETRY_MS = 5_000
const MAX_REFUSALS = 2
const READY = 'Subscribed to PostgreSQL'
const UNAVAILABLE: ChangesFault = {
  code: 'database-unavailable',
  hint: 'The server tries again by itself. If this lasts, look at its log.',
}

export interface SubscribingOptions {
  readonly database: CatalogPort
  readonly runtime: FeedRuntime
  readonly subscriptions: Subscriptions
  readonly resumes: ResumeQueue
  readonly window: FeedWindow
  /** For logs: the database refuses to plan a channel. */
  readonly onFault: (error: unknown) => void
}

/** Takes channels from their request to "Subscribed to PostgreSQL": from then on nothing that is committed passes them by. */
export class Subscribing {
  readonly #options: SubscribingOptions
  /** Why there is no stream yet; `null`: it is not known. */
  #trouble: Notice | null = null
  #closed = false

  constructor(options: SubscribingOptions) {
    this.#options = options
  }

  /** Never rejects: the channel is notified of the outcome, and of a database that does not answer. */
  async subscribe(channel: FeedChannel): Promise<void> {
    const { runtime } = this.#options
    let refusals = 0
    while (!channel.closed && !this.#closed) {
      try {
        await this.#epochKnown(channel)
        if (await this.#plan(channel)) return
      } catch (error) {
        if (channel.closed || this.#closed) return
        if (!isUnreachable(error) && !isTimeout(error)) {
          this.#options.onFault(error)
          // A table may have been dropped or altered while it was looked up.
          if (++refusals > MAX_REFUSALS) return this.#refuse(channel, REFUSED)
          await delay(runtime, SUBSCRIBE_RETRY_MS / 10)
          continue
        }
        const message = `Unable to subscribe to changes: the database does not answer (${codeOf(error) || 'no connection'}). Trying again.`
        channel.refuse({ message, fault: UNAVAILABLE })
        await delay(runtime, SUBSCRIBE_RETRY_MS * (1 + runtime.random()))
      }
    }
  }

  /** There is no stream yet: channels that wait for it are notified why, and so are later ones. */
  waits(fault: ReplicationFault): void {
    if (this.#options.window.epoch !== null) return
    this.#trouble = { message: `Unable to subscribe to changes: ${WAITING[fault.kind]}. Trying again.`, fault: UNAVAILABLE }
    for (const channel of this.#options.subscriptions.channels) if (channel.state.kind === 'waiting') channel.refuseOnce(this.#trouble)
  }

  close(): void {
    this.#closed = true
  }

  /** False: the channel's identity or the epoch changed meanwhile, a table came that it names, or it could not resume. Then it is to be planned again. */
  async #plan(channel: FeedChannel): Promise<boolean> {
    const { database, subscriptions } = this.#options
    await this.#inSteps(channel)
    const { generation } = channel
    const epoch = this.#options.window.epoch
    const isOver = (): boolean => channel.closed || this.#closed
    const since = subscriptions.newcomerCount
    const plan = await planSubscriptions(channel, database)
    await this.#inSteps(channel)
    if (isOver()) return true
    if (channel.generation !== generation) return false
    if (!plan.ok) {
      this.#refuse(channel, plan)
      return true
    }
    // A table that came meanwhile was not looked for in this channel.
    if (subscriptions.hasNewcomer(since, channel, plan.subscriptions)) return false
    // A channel that is planned again keeps its state.
    if (channel.state.kind === 'planning') channel.dispatch(this.#beginning(channel))
    const wasRefused = !subscriptions.channels.has(channel)
    subscriptions.channels.add(channel)
    subscriptions.replace(channel, plan.subscriptions, plan.published)
    // Nothing was delivered to it while it was refused.
    if (wasRefused) channel.gap('unspecified')
    const startLsn = await database.insertLsn()
    const flushedLsn = channel.state.kind === 'replaying' ? await database.flushLsn() : startLsn
    if (isOver()) return true
    // A position of another log would keep changes from it, or let none through.
    if (channel.generation !== generation || epoch !== this.#options.window.epoch) return false
    // It was planned again meanwhile, and refused.
    if (!subscriptions.channels.has(channel)) return true
    await this.#start(channel, startLsn, { flushedLsn, published: plan.published })
    // It could not resume. It is planned again, since its identity, the epoch or its tables may have changed while it tried.
    if (channel.state.kind === 'registered') return false
    for (const notice of plan.notices) channel.warnOnce(notice)
    return channel.generation === generation
  }

  async #inSteps({ entries }: FeedChannel): Promise<void> {
    if (entries.length > LARGE_ENTRIES) await endOfTurn(this.#options.runtime)
  }

  /** The channel's first event: it resumes from its position, or starts with live changes. */
  #beginning({ request: { since } }: FeedChannel): ChannelEvent {
    if (since === null) return { type: 'registered', missed: null }
    const parsed = parsePosition(since)
    if (parsed === null) return { type: 'registered', missed: 'invalid-position' }
    const { epoch, commitLsn, seq, isIncomplete } = parsed
    if (epoch !== this.#options.window.epoch) return { type: 'registered', missed: 'other-epoch' }
    if (isIncomplete) return { type: 'registered', missed: 'withheld' }
    return { type: 'replayed', after: { commitLsn, seq } }
  }

  /** The subscriptions are registered; the positions were read after that, in this epoch. */
  async #start(channel: FeedChannel, startLsn: Lsn, from: Omit<ResumeFrom, 'since'>): Promise<void> {
    const { state } = channel
    // Earlier changes may be on their way to it: a position would take the client past them.
    if (state.kind === 'live') return this.#announce(channel, null)
    if (state.kind === 'registered') return this.#begin(channel, startLsn, state.missed)
    if (state.kind !== 'replaying') return
    const missed =
      this.#obstacle(channel, state.after, startLsn) ?? (await this.#options.resumes.resume(channel, { since: state.after, ...from }))
    if (channel.closed) return
    const now = channel.state
    if (missed === null) return this.#announce(channel, now.kind === 'live' ? now.after : before(startLsn), { recovered: true })
    // It is planned again, and goes on live from an insert position that is later than all that was replayed.
    channel.dispatch({ type: 'gap', missed })
  }

  /** Why the channel cannot go on from its position. It may have been planned in another epoch. */
  #obstacle({ request: { since } }: FeedChannel, after: LogPosition, startLsn: Lsn): GapReason | null {
    if (since !== null && parsePosition(since)?.epoch !== this.#options.window.epoch) return 'other-epoch'
    return after.commitLsn > startLsn ? 'position-ahead' : null
  }

  #begin(channel: FeedChannel, lsn: Lsn, missed: GapReason | null): void {
    this.#announce(channel, before(lsn), missed === null ? {} : { recovered: false, reason: missed })
    channel.dispatch({ type: 'started', after: before(lsn) })
  }

  #announce(channel: FeedChannel, at: LogPosition | null, extra: Readonly<Record<string, string | boolean>> = {}): void {
    const epoch = this.#options.window.epoch
    const { isIncomplete } = channel
    const position =
      channel.request.positions && epoch !== null && at !== null ? { position: formatPosition({ epoch, ...at, isIncomplete }) } : {}
    channel.notify('ok', READY, { ...position, ...extra })
    channel.subscribed()
  }

  #refuse(channel: FeedChannel, refusal: Notice): void {
    this.#options.subscriptions.remove(channel)
    channel.refuse(refusal)
  }

  async #epochKnown(channel: FeedChannel): Promise<void> {
    const { window } = this.#options
    if (window.epoch === null && this.#trouble !== null) channel.refuseOnce(this.#trouble)
    await window.processed(0n)
    channel.dispatch({ type: 'epoch-known' })
  }
}

const REFUSED = {
  message: 'Unable to subscribe to changes: the database refuses to look the tables up',
  fault: { code: 'changes-withheld', hint: 'The log of the server says what failed.' },
} as const

function before(lsn: Lsn): LogPosition {
  return { commitLsn: lsn - 1n, seq: 0 }
}

/** For clients: nothing of what the database or the network said, which may name hosts and users. */
const WAITING: Readonly<Record<ReplicationFault['kind'], string>> = {
  unreachable: 'the database does not answer',
  restarting: 'the database is starting or stopping',
  'slot-held': 'another server prepares the changes of this database',
  'slot-lost': 'the database has lost its place in the changes',
  exhausted: 'the database has no free replication slot or session',
  'publication-changed': 'a publication of the database has changed',
  refused: 'the database refuses to give its changes',
  silent: 'the database does not answer',
  'malformed-stream': 'the database sends what cannot be read',
}
