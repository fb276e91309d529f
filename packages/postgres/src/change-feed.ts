import type { GapReason, TimerHandle } from '@tidewire/protocol'
import type { ChangeFeed, ChangeHandle, ChangeListener, ChangeRequest, DecidedChange, FeedProgress, Identity } from '@tidewire/server'
import type { CatalogPort } from './catalog/catalog-port.ts'
import { errorText } from './catalog/database-fault.ts'
import { ChangeDispatcher } from './deliver/change-dispatcher.ts'
import { Pipeline } from './deliver/pipeline.ts'
import type { TableGap } from './replication/published-relations.ts'
import type { ChangeSourceHandlers, ChangeSourceStatus, NewEpoch } from './replication/source/change-source-api.ts'
import type { Lsn } from './replication/lsn.ts'
import { formatPosition } from './replication/position.ts'
import type { RowChange } from './replication/transaction-assembler.ts'
import type { EpochReason } from './replication/replication-port.ts'
import { parseChangeEntries } from './subscribe/request/change-entry.ts'
import { FeedChannel, type Audience } from './subscribe/feed-channel.ts'
import { bounded } from './decide/bounded.ts'
import type { FeedDatabase } from './decide/feed-database.ts'
import { FeedHealth } from './feed-health.ts'
import type { FeedOptions, FeedSource } from './feed-options.ts'
import { endOfTurn, every, type FeedRuntime } from './feed-runtime.ts'
import { FeedWindow } from './subscribe/resume/feed-window.ts'
import { ResumeQueue } from './subscribe/resume/resume-queue.ts'
import { Subscribing } from './subscribe/subscribing.ts'
import { Subscriptions } from './subscribe/subscriptions.ts'

/** Tables that could not be loaded are tried again. */
const TAKE_BACK_INTERVAL_MS = 1_000

const RESYNC_REASONS: Readonly<Record<EpochReason, GapReason>> = {
  found: 'slot-replaced',
  created: 'slot-created',
  lost: 'slot-lost',
  // The server's own position, which it goes on from after a cut.
  'fell-behind': 'position-too-old',
  'publication-changed': 'publication-changed',
}

/**
 * Row changes for channels: matches them against what was asked for, has Postgres decide which users may see them, and delivers them
 * in the order of their commits.
 */
export class PostgresChangeFeed implements ChangeFeed, ChangeSourceHandlers {
  readonly #catalog: CatalogPort
  readonly #runtime: FeedRuntime
  readonly #subscriptions: Subscriptions
  readonly #subscribing: Subscribing
  readonly #dispatcher: ChangeDispatcher
  readonly #window: FeedWindow
  readonly #pipeline: Pipeline
  readonly #resumes: ResumeQueue
  readonly #health: FeedHealth
  readonly #timers: readonly TimerHandle[]
  #source: FeedSource | null = null

  constructor(unbounded: FeedDatabase, runtime: FeedRuntime, options: FeedOptions) {
    const database = bounded(unbounded, runtime)
    const { resumeWindowMs: maxAgeMs, resumeWindowBytes: maxBytes, maxWalBytes } = options
    const window = new FeedWindow({ maxAgeMs, maxBytes, maxWalBytes }, runtime)
    const subscriptions = new Subscriptions(database.catalog)
    const dispatcher = new ChangeDispatcher({ database, window, runtime, subscriptions, listener: options })
    const source = { pause: () => this.#source?.pause(), resume: () => this.#source?.resume() }
    const pipeline = new Pipeline(runtime, { source, subscriptions, dispatcher, window })
    const resumes = new ResumeQueue({
      runtime,
      window,
      maxWaitMs: options.resumeTimeoutMs,
      betweenBatches: (work) => pipeline.controlled(work),
      replay: (changes, channels) => dispatcher.replay(changes, channels),
    })
    const onFault = (error: unknown): void => this.#fault('subscribe', errorText(error))
    this.#subscribing = new Subscribing({ database: database.catalog, runtime, subscriptions, resumes, window, onFault })
    this.#health = new FeedHealth(runtime, { pipeline, dispatcher, resumes, window }, options)
    this.#catalog = database.catalog
    this.#runtime = runtime
    this.#window = window
    this.#subscriptions = subscriptions
    this.#dispatcher = dispatcher
    this.#pipeline = pipeline
    this.#resumes = resumes
    this.#timers = [
      every(runtime, options.refreshIntervalMs, () => pipeline.control(() => this.#refresh())),
      every(runtime, TAKE_BACK_INTERVAL_MS, () => {
        if (subscriptions.hasAside) pipeline.control(() => subscriptions.takeBack())
      }),
      every(runtime, options.positionIntervalMs, () => this.#sendPositions()),
      every(runtime, Math.min(maxAgeMs, 1_000), () => window.trim()),
    ]
  }

  attach(source: FeedSource): void {
    this.#source = source
    this.#window.attach(source)
  }

  open(request: ChangeRequest, listener: ChangeListener): ChangeHandle {
    const { entries, refusal } = parseChangeEntries(request.entries)
    const channel = new FeedChannel(request, entries, listener, (error) => this.#fault('listener', errorText(error)))
    if (refusal !== null) {
      // Never inside the call: the caller does not hold the handle yet.
      void Promise.resolve().then(() => channel.refuse(refusal))
      return { setIdentity: () => {}, close: () => channel.dispatch({ type: 'closed' }) }
    }
    this.#subscriptions.channels.add(channel)
    void this.#subscribing.subscribe(channel)
    return { setIdentity: (identity) => this.#setIdentity(channel, identity), close: () => this.#close(channel) }
  }

  observe(decided: ((change: DecidedChange) => void) | null): void {
    this.#dispatcher.onDecided = decided
  }

  progress(): FeedProgress {
    return this.#health.progress(this.#source, this.#runtime.uptime())
  }

  onChanges(changes: readonly RowChange[]): void {
    this.#pipeline.changes(changes)
  }

  onEpoch(event: NewEpoch): void {
    const { confirmedLsn, serverLsn } = this.#source ?? { confirmedLsn: 0n, serverLsn: 0n }
    if (event.isOtherLog) this.#pipeline.dropStream()
    this.#pipeline.control(() => {
      const start = this.#window.restart(event.epoch, confirmedLsn, serverLsn)
      if (event.isOtherLog) {
        this.#dispatcher.isolated.dropAll()
        for (const channel of this.#subscriptions.channels) channel.dispatch({ type: 'other-log', after: start })
      }
      if (event.previous === null) return
      for (const channel of this.#subscriptions.channels) this.#resync(channel, RESYNC_REASONS[event.reason])
    })
  }

  /** The tables were not published for a while, so changes of them may be missing. */
  onTableGap({ tables, before }: TableGap): void {
    this.#pipeline.control(() => {
      this.#window.ring.markGap(tables, before)
      const concerned = new Set(tables)
      for (const channel of this.#subscriptions.channels)
        if ([...channel.subscriptions].some(({ oid }) => concerned.has(oid))) this.#resync(channel, 'publication-changed')
    })
  }

  onStatus(status: ChangeSourceStatus): void {
    if (status.kind === 'waiting') this.#subscribing.waits(status.fault)
  }

  onProgress(lsn: Lsn): void {
    this.#pipeline.progress(lsn)
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel()
    for (const channel of this.#subscriptions.channels) channel.dispatch({ type: 'closed' })
    this.#health.close()
    this.#dispatcher.close()
    this.#resumes.close()
    this.#pipeline.close()
    this.#subscribing.close()
    this.#window.close()
  }

  #setIdentity(channel: FeedChannel, identity: Identity): void {
    const before = audiencesOf(channel)
    channel.identity = identity
    this.#dispatcher.renewed(channel)
    // Whether or not it may keep all of its entries.
    this.#subscriptions.rebind(channel)
    const after = audiencesOf(channel)
    // A renewed token of the same user is another identity that the policies cannot distinguish.
    const isAlike =
      before.length > 0 &&
      before.every(
        (audience, index) => audience !== null && audience.identity === after[index]?.identity && audience.role === after[index]?.role,
      )
    if (!isAlike) channel.discardHeld()
    const isLive = channel.state.kind === 'live'
    const isRefused = !channel.closed && !this.#subscriptions.channels.has(channel)
    // It was refused before it was live. Others that are not live yet are on their way.
    if (!isLive && isRefused) this.#subscriptions.channels.add(channel)
    if (isLive || isRefused) void this.#subscribing.subscribe(channel)
  }

  #close(channel: FeedChannel): void {
    channel.dispatch({ type: 'closed' })
    this.#subscriptions.remove(channel)
  }

  /** Subscribes the channel again after a gap: changes in between are not known. */
  #resync(channel: FeedChannel, reason: GapReason): void {
    if (channel.state.kind !== 'live') return
    channel.notify('error', 'Changes may have been missed: load your data again', { resync: true, reason })
    void this.#subscribing.subscribe(channel)
  }

  /** Reads again what the stream does not report: publications, memberships, functions. */
  async #refresh(): Promise<void> {
    this.#subscriptions.markAllStale()
    if (this.#subscriptions.channels.size === 0) return
    try {
      await this.#subscriptions.followPublication(await this.#catalog.publishedTables(), () => endOfTurn(this.#runtime))
    } catch (error) {
      this.#fault('refresh', errorText(error))
    }
  }

  #sendPositions(): void {
    const { epoch } = this.#window
    const at = this.#pipeline.hasWork
      ? this.#window.ring.last
      : { commitLsn: this.#window.progress > 0n ? this.#window.progress - 1n : 0n, seq: 0 }
    if (epoch === null || at === null) return
    const [complete, incomplete] = [false, true].map((isIncomplete) => formatPosition({ epoch, ...at, isIncomplete }))
    for (const channel of this.#subscriptions.channels)
      if (channel.request.positions && channel.isPrompt)
        channel.notify('ok', 'Position', { position: channel.isIncomplete ? incomplete! : complete! })
  }

  #fault(kind: string, message: string): void {
    this.#dispatcher.report.log(kind, null, null, message)
  }
}

function audiencesOf({ subscriptions }: FeedChannel): (Audience | null)[] {
  return [...subscriptions].map(({ audience }) => audience)
}
