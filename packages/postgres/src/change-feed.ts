import type { GapReason } from '@tidewire/protocol'
import type { ChangeFeed, ChangeHandle, ChangeListener, ChangeRequest, DecidedChange, FeedProgress, Identity } from '@tidewire/server'
import type { ChangeBatch, NewEpoch, TableGap } from './replication/change-source.ts'
import { laterLsn, type Lsn } from './replication/lsn.ts'
import { formatPosition } from './replication/position.ts'
import type { ReplicationFault } from './replication/replication-fault.ts'
import type { EpochReason } from './replication/replication-state.ts'
import { NO_ENTRY, parseChangeEntry, tablesOf, type ChangeEntry, type EntryRefusal } from './subscribe/change-entry.ts'
import { ChangeRing, type RingLimits } from './subscribe/change-ring.ts'
import { FeedChannel } from './subscribe/feed-channel.ts'
import type { FeedDatabase } from './decide/feed-database.ts'
import type { FeedRuntime } from './feed-runtime.ts'
import { Pipeline } from './decide/pipeline.ts'
import type { Replayer } from './subscribe/replay.ts'
import { isOwnTable, Settling, type SettlingListener } from './decide/settling.ts'
import { Subscribing, waitingText } from './subscribe/subscribing.ts'
import { Subscriptions } from './subscribe/subscriptions.ts'
import { WindowMarks } from './subscribe/window-marks.ts'

const RESYNC_REASONS: Readonly<Record<EpochReason, GapReason>> = {
  found: 'slot-replaced',
  created: 'slot-created',
  lost: 'slot-lost',
  'publication-changed': 'publication-changed',
  // The server's own position, which it goes on from after a cut.
  'fell-behind': 'position-too-old',
}

/** What the feed needs of the source of changes. */
export interface FeedSource {
  readonly epoch: string | null
  readonly confirmedLsn: Lsn
  /** What Postgres has written, seen every few seconds. */
  readonly serverLsn: Lsn
  /** Other nodes that read the same changes. */
  readonly peers: readonly string[]
  /** A sentence when it stands still. */
  readonly trouble: string | null
  confirm(epoch: string, endLsn: Lsn): void
  pause(): void
  resume(): void
}

export interface FeedOptions extends SettlingListener {
  /** What can be replayed. */
  readonly ring: RingLimits
  /** The write-ahead log that Postgres has to keep for it, at most. */
  readonly maxWalBytes: number
  /** How often channels that want positions are told one without a change. */
  readonly positionIntervalMs: number
  /** How often publications, roles and policies are looked at again. */
  readonly refreshIntervalMs: number
  /** How many channels may replay at once. */
  readonly maxReplays: number
  /** Whether broadcasts and presence reach the other nodes of this database. */
  readonly hasRelay: boolean
}

/**
 * Row changes for channels: matches them against what was asked for, has Postgres decide who may see them, and hands them
 * on in the order of their commits.
 */
export class PostgresChangeFeed implements ChangeFeed {
  readonly #database: FeedDatabase
  readonly #source: FeedSource
  readonly #runtime: FeedRuntime
  readonly #options: FeedOptions
  readonly #subscriptions: Subscriptions
  readonly #subscribing: Subscribing
  readonly #settling: Settling
  readonly #ring: ChangeRing
  readonly #marks: WindowMarks
  readonly #pipeline: Pipeline
  readonly #timers: { cancel(): void }[] = []
  #progress: Lsn = 0n
  /** Where the server was at the first connection; the window is here when that is delivered. `null`: no connection yet. */
  #fillsUntil: Lsn | null = null
  #ready = false
  #progressWaiters: { readonly lsn: Lsn; readonly done: () => void }[] = []
  #closed = false

  constructor(database: FeedDatabase, source: FeedSource, runtime: FeedRuntime, options: FeedOptions) {
    this.#database = database
    this.#source = source
    this.#runtime = runtime
    this.#options = options
    this.#ring = new ChangeRing(options.ring)
    this.#marks = new WindowMarks({ maxAgeMs: options.ring.maxAgeMs, maxWalBytes: options.maxWalBytes })
    this.#subscriptions = new Subscriptions(database)
    this.#subscribing = new Subscribing({
      database,
      runtime,
      subscriptions: this.#subscriptions,
      replayer: this.#replayer,
      maxReplays: options.maxReplays,
    })
    this.#settling = new Settling({ database, source, runtime, subscriptions: this.#subscriptions, ring: this.#ring, listener: options })
    this.#pipeline = new Pipeline(runtime, source, {
      begin: () => this.#settling.begin(),
      match: (change, batch) => this.#settling.match(change, batch),
      isPrepared: (table) => isOwnTable(table) || this.#subscriptions.isPrepared(table),
      prepare: (table) => this.#subscriptions.prepare(table),
      settle: async (batch) => {
        await this.#settling.settle(batch)
        // A transaction may have more changes than are kept.
        this.#trim()
      },
      stale: (oid) => this.#subscriptions.markStale(oid),
      committed: (endLsn) => this.#committed(endLsn),
      progressed: (lsn) => this.#progressed(lsn),
    })
    this.#every(options.refreshIntervalMs, () => this.#pipeline.control(() => this.#refresh()))
    this.#every(options.positionIntervalMs, () => this.#tellPositions())
    this.#every(Math.min(options.ring.maxAgeMs, 1_000), () => this.#trim())
  }

  open(request: ChangeRequest, listener: ChangeListener): ChangeHandle {
    const objects = request.entries.filter(({ entry }) => entry !== null)
    const entries: ChangeEntry[] = []
    let refusal: EntryRefusal | null = objects.length === 0 ? NO_ENTRY : null
    for (const { id, entry } of objects) {
      const parsed = parseChangeEntry(id, entry)
      if (parsed.ok) entries.push(parsed.entry)
      else refusal ??= parsed
    }
    const channel = new FeedChannel(request, entries, listener)
    if (refusal !== null) {
      // Never inside the call: the caller does not hold the handle yet.
      const { message, fault } = refusal
      void Promise.resolve().then(() => channel.refuse(message, fault))
      return { setIdentity: () => {}, close: () => (channel.closed = true) }
    }
    this.#subscriptions.channels.add(channel)
    void this.#subscribing.subscribe(channel)
    return { setIdentity: (identity) => this.#setIdentity(channel, identity), close: () => this.#close(channel) }
  }

  observe(decided: ((change: DecidedChange) => void) | null): void {
    this.#settling.decided = decided
  }

  progress(): FeedProgress {
    const { serverLsn, trouble } = this.#source
    const oldest = this.#pipeline.oldest
    return {
      lagBytes: serverLsn > this.#progress ? Number(serverLsn - this.#progress) : 0,
      oldestAt: oldest === null ? null : Number(oldest.transaction.commitTime) / 1_000,
      trouble,
      unready: this.#ready
        ? null
        : trouble === null
          ? 'the changes of the last while are still being read'
          : 'the database does not give its changes',
      degraded: this.#degraded,
      windowMs: this.#ring.spanMs(this.#runtime.uptime()),
      windowBytes: this.#ring.bytes,
    }
  }

  /** Why this node does less than its clients expect. */
  get #degraded(): string | null {
    if (this.#source.peers.length === 0 || this.#options.hasRelay) return null
    return 'other servers read this database, and no relay is configured: broadcasts and presence do not reach their clients'
  }

  onChanges(batch: ChangeBatch): void {
    this.#pipeline.changes(batch)
  }

  onEpoch(event: NewEpoch): void {
    const { confirmedLsn, serverLsn } = this.#source
    this.#fillsUntil ??= serverLsn
    this.#pipeline.control(() => {
      this.#ring.restart({ commitLsn: confirmedLsn > 0n ? confirmedLsn - 1n : 0n, seq: 0 })
      this.#marks.restart()
      this.#progress = confirmedLsn
      if (event.previous !== null) this.#resync(RESYNC_REASONS[event.reason])
    })
    this.#subscribing.epochIsKnown()
  }

  /** The tables were not published for a while, so changes of them may be missing. */
  onTableGap({ tables, before }: TableGap): void {
    this.#pipeline.control(() => {
      this.#ring.markGap(tables, before)
      const concerned = new Set(tables)
      for (const channel of this.#subscriptions.channels) {
        if (!channel.isSubscribed || ![...channel.subscriptions].some(({ oid }) => concerned.has(oid))) continue
        channel.tell('error', 'Changes may have been missed: load your data again', { resync: true, reason: 'publication-changed' })
        void this.#subscribing.subscribe(channel)
      }
    })
  }

  /** There is no stream, and the next attempt comes by itself. */
  onWaiting(fault: ReplicationFault): void {
    this.#subscribing.waits(waitingText(fault))
  }

  onProgress(lsn: Lsn): void {
    this.#pipeline.progress(lsn)
  }

  /** Nothing is delivered afterwards. */
  close(): void {
    this.#closed = true
    for (const timer of this.#timers) timer.cancel()
    for (const channel of this.#subscriptions.channels) channel.closed = true
    this.#pipeline.close()
    this.#subscribing.close()
    for (const { done } of this.#progressWaiters) done()
  }

  readonly #replayer: Replayer = {
    ring: () => this.#ring,
    epoch: () => this.#source.epoch,
    processed: (lsn) => this.#processed(lsn),
    betweenBatches: (work) => this.#pipeline.controlled(work),
    filterTextOf: (subscription, change) => this.#subscriptions.filterTextOf(subscription, change),
    send: (changes, candidates) => this.#settling.replay(changes, candidates),
  }

  #setIdentity(channel: FeedChannel, identity: Identity): void {
    channel.identity = identity
    channel.generation++
    this.#settling.renewed(channel)
    // Whether or not it may keep all of its entries.
    this.#subscriptions.rebind(channel)
    if (channel.isSubscribed) void this.#subscribing.subscribe(channel)
  }

  #close(channel: FeedChannel): void {
    channel.closed = true
    this.#subscriptions.remove(channel)
  }

  #committed(endLsn: Lsn): void {
    if (this.#ring.size > 0) this.#ring.commit(endLsn)
    this.#trim()
  }

  #progressed(lsn: Lsn): void {
    this.#progress = lsn
    this.#marks.note(lsn, this.#runtime.uptime())
    if (this.#fillsUntil !== null && lsn >= this.#fillsUntil) this.#ready = true
    const waiters = this.#progressWaiters
    this.#progressWaiters = waiters.filter((waiter) => waiter.lsn > lsn)
    for (const waiter of waiters) if (waiter.lsn <= lsn) waiter.done()
  }

  /** Lets go of what lies behind the window: in memory, and in Postgres. */
  #trim(): void {
    const nowMs = this.#runtime.uptime()
    const trimmed = this.#ring.trim(nowMs)
    const passed = this.#marks.trim(nowMs, this.#source.serverLsn)
    const endLsn = laterLsn(trimmed ?? 0n, passed ?? 0n)
    if (endLsn > 0n && this.#source.epoch !== null) this.#source.confirm(this.#source.epoch, endLsn)
  }

  /** The slot was lost or made anew: what happened in between cannot be told any more. */
  #resync(reason: GapReason): void {
    for (const channel of this.#subscriptions.channels) {
      if (!channel.isSubscribed) continue
      channel.tell('error', 'Changes may have been missed: load your data again', { resync: true, reason })
      void this.#subscribing.subscribe(channel)
    }
  }

  /** What the stream does not tell: publications, memberships, functions. */
  async #refresh(): Promise<void> {
    this.#subscriptions.markAllStale()
    if (this.#subscriptions.channels.size === 0) return
    const published = await this.#database.publishedTables()
    for (const channel of this.#subscriptions.channels) {
      if (!channel.isSubscribed) continue
      const gone = channel.entries.some((entry) => tablesOf(entry, published).length === 0)
      if (gone) void this.#subscribing.subscribe(channel)
    }
  }

  #tellPositions(): void {
    const { epoch } = this.#source
    const place = this.#pipeline.isIdle ? { commitLsn: this.#progress > 0n ? this.#progress - 1n : 0n, seq: 0 } : this.#ring.last
    if (epoch === null || place === null) return
    const position = formatPosition({ epoch, ...place })
    for (const channel of this.#subscriptions.channels)
      if (channel.request.positions && channel.after !== null) channel.tell('ok', 'Position', { position })
  }

  /** When everything before `lsn` was handed over and delivered. */
  #processed(lsn: Lsn): Promise<void> {
    return this.#progress >= lsn || this.#closed ? Promise.resolve() : new Promise((done) => this.#progressWaiters.push({ lsn, done }))
  }

  #every(ms: number, work: () => void): void {
    const index = this.#timers.length
    const arm = (): void => {
      this.#timers[index] = this.#runtime.setTimer(() => {
        work()
        arm()
      }, ms)
    }
    arm()
  }
}
