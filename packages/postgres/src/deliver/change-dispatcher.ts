import type { DecidedChange } from '@tidewire/server'
import { groupBy } from '../catalog/multimap.ts'
import { CircuitBreaker } from '../decide/circuit-breaker.ts'
import { StalePolicyVersion } from '../decide/ask-again.ts'
import { decide } from '../decide/decide.ts'
import type { FeedDatabase, RowChecks } from '../decide/feed-database.ts'
import { endOfTurn, type FeedRuntime } from '../feed-runtime.ts'
import { isMessageTable, type Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { Batch } from '../subscribe/batch.ts'
import type { FeedWindow } from '../subscribe/resume/feed-window.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import type { Audience, PendingDelivery } from '../subscribe/audience.ts'
import { pendingFor } from '../subscribe/matches.ts'
import type { Subscriptions } from '../subscribe/subscriptions.ts'
import { deliver, NOT_DELIVERED, type DeliverContext, type Delivered } from './deliver.ts'
import { DecisionRounds } from './decision-rounds.ts'
import { FaultReport, type FeedListener } from './fault-report.ts'
import { isolate, IsolatedDispatcher, type IsolatedWork, type ProcessedWork } from './isolated-dispatcher.ts'
import { MissedChanges } from './missed-changes.ts'
import { computedOf, grantedOf, type Outcome } from './outcome.ts'
import { project } from './project.ts'

export interface DispatcherOptions {
  readonly database: FeedDatabase
  readonly window: FeedWindow
  readonly runtime: FeedRuntime
  readonly subscriptions: Subscriptions
  readonly listener: FeedListener
}

/** A table that fails as a whole is loaded again this often. After that it counts as faulty. */
const MAX_STALE = 3
/** To match so many audiences, or to decide about them, is a turn's work. */
const MANY = 100

/**
 * Takes changes from the audiences that they may concern, through the decision, to the channels: decide → project → deliver.
 * Live changes, those decided in isolation and those replayed take the same way.
 */
export class ChangeDispatcher {
  readonly #options: DispatcherOptions
  readonly #breaker = new CircuitBreaker()
  readonly #missed: MissedChanges
  readonly report: FaultReport
  readonly isolated: IsolatedDispatcher
  /** How often a table failed as a whole, in a row. */
  readonly #failures = new Map<number, number>()
  /** Channels that got another identity since the current batch was begun. */
  readonly #renewed = new Set<FeedChannel>()
  /** Gets every live change. A change comes again when channels that it was isolated for get it. `null`: nothing observes them. */
  onDecided: ((change: DecidedChange) => void) | null = null

  constructor(options: DispatcherOptions) {
    const { runtime, listener } = options
    this.#options = options
    this.#missed = new MissedChanges(runtime)
    this.report = new FaultReport(listener, runtime, this.#breaker, this.#missed)
    this.isolated = new IsolatedDispatcher({
      runtime,
      breaker: this.#breaker,
      process: (work) => this.#decideIsolated(work),
      failed: (work, reason) => this.report.isolatedFailed(work, reason),
    })
  }

  /** The next batch is about to be matched. */
  begin(): void {
    this.#renewed.clear()
  }

  /** The channel has another identity; what is on its way is decided again for that one. */
  renewed(channel: FeedChannel): void {
    this.#renewed.add(channel)
  }

  /** Decides and delivers a batch. Rejects without having delivered anything. */
  async dispatch(batch: Batch): Promise<void> {
    const { changes } = batch
    const { database } = this.#options
    const toIsolate: PendingDelivery[] = []
    const atOnce = (pending: readonly PendingDelivery[], waits: boolean): Promise<Outcome> => {
      const kinds = groupBy(pending, ({ audience, asks }) => asks || this.#breaker.holds(audience))
      toIsolate.push(...(kinds.get(true) ?? []))
      return this.#decide(kinds.get(false) ?? [], database.checks, waits)
    }
    const rounds = new DecisionRounds()
    rounds.add([], await atOnce(batch.pending, isOneTransaction(changes)))
    batch.noteShares(rounds.outcomes[0]!.decided)
    while (this.#renewed.size > 0) {
      // One that is replaying gets these changes from its replay.
      const renewed = new Set([...this.#renewed].filter(({ receives }) => receives))
      this.#renewed.clear()
      const isOver = !rounds.begin(renewed)
      await this.#loadFor(renewed, changes)
      const pending = pendingFor(renewed, changes)
      // Renewed too often: in isolation it keeps nothing else waiting.
      if (isOver) toIsolate.push(...pending)
      else rounds.add(pending, await atOnce(pending, true))
    }
    const { outcomes } = rounds
    toIsolate.push(...this.report.ofBatch(rounds.faults))
    const { work, isolated } = isolate(toIsolate.filter((each) => !this.report.withholds(each)))
    const excluded = (change: RowChange, delivery: PendingDelivery, channel: FeedChannel): boolean =>
      !rounds.counts(delivery, channel) || isolated.get(change)?.has(channel) === true
    const excludes = outcomes.length > 1 || isolated.size > 0
    // First, so that later changes of the batch wait in the channels for those that are isolated.
    this.isolated.add(work)
    this.#send(changes, outcomes, excludes ? excluded : null, (change, delivered) => this.#settled(change, delivered))
  }

  close(): void {
    this.isolated.close()
    this.#missed.close()
  }

  /** Skips a change that fails even in a batch of its own. All channels of its table are notified of the gap. */
  skip(change: RowChange, error: unknown): void {
    const channels = new Set([...this.#options.subscriptions.subscriptionsOf(change.table.oid)].map(({ channel }) => channel))
    this.report.undelivered(change, error, [...channels])
    if (!isMessageTable(change.table)) this.#options.window.ring.append(change, this.#options.runtime.uptime())
  }

  /** Nothing of the table can be matched until it can be loaded. */
  setAside(table: Table, error: unknown): void {
    this.report.unprepared(table, error, this.#options.subscriptions.setAside(table))
  }

  /**
   * Sends changes to channels that missed them. Returns the channels that got them: a channel with a new identity did not. Rejects
   * when the database cannot be reached, without having sent anything.
   */
  async replay(changes: readonly RowChange[], channels: ReadonlySet<FeedChannel>): Promise<ReadonlySet<FeedChannel>> {
    const rows = changes.filter(({ action, table }) => action !== 'TRUNCATE' && !isMessageTable(table))
    const isCurrent = generationsOf(channels)
    const { epoch } = this.#options.window
    const { outcome } = await this.#decideFor([{ rows, channels }], this.#options.database.checks)
    if (this.#options.window.epoch !== epoch) return new Set()
    const current = new Set([...channels].filter(isCurrent))
    // Before the rows are sent: their positions then show that changes were withheld.
    this.report.final(outcome.faults)
    this.#send(
      rows,
      [outcome],
      (_change, _delivery, channel) => !current.has(channel),
      () => {},
    )
    return current
  }

  async #decideIsolated<Work extends IsolatedWork>(work: readonly Work[]): Promise<ProcessedWork<Work>> {
    const { window, database } = this.#options
    const { epoch } = window
    const rounds = new DecisionRounds()
    const sources = new Map<PendingDelivery['only'], Work>()
    const generations = new Map<FeedChannel, number>()
    let channels = new Set(work.flatMap((each) => [...each.channels]))
    do {
      for (const channel of channels) generations.set(channel, channel.generation)
      const wanted = work.map((each) => ({
        work: each,
        rows: each.rows,
        channels: new Set([...each.channels].filter((channel) => channels.has(channel))),
      }))
      const { pending, outcome } = await this.#decideFor(wanted, database.isolated)
      for (const { of, delivery } of pending) sources.set(delivery.only, of.work)
      rounds.add(
        pending.map(({ delivery }) => delivery),
        outcome,
      )
      channels = new Set([...generations].flatMap(([channel, generation]) => (channel.generation === generation ? [] : [channel])))
    } while (channels.size > 0 && rounds.begin(channels))
    this.report.missed(channels)
    // A new epoch began. The feed has notified the channels.
    if (window.epoch !== epoch) return { faults: [], late: [] }
    const { outcomes, faults } = rounds
    const isAlone = new Set(work.map(({ key }) => key)).size === 1
    const slow = isAlone ? [] : faults.filter(({ timedOut }) => timedOut).flatMap(({ deliveries }) => deliveries)
    const late = new Set(slow.map(({ only }) => sources.get(only)!))
    const isLate = ({ only }: PendingDelivery): boolean => late.has(sources.get(only)!)
    const rows = [...new Set(work.flatMap((each) => each.rows))]
    const ended = faults.filter(({ deliveries }) => !deliveries.every(isLate))
    this.report.final(ended)
    this.#send(
      rows,
      outcomes,
      (_change, delivery, channel) => isLate(delivery) || !rounds.counts(delivery, channel),
      (change, delivered) => delivered.receivers > 0 && this.#notifyDecided(change, delivered),
    )
    return { faults: ended, late: [...late] }
  }

  /** Decides for the present audiences of the channels. A stale table is loaded again, and the question repeated. */
  async #decideFor<Wanted extends { readonly rows: readonly RowChange[]; readonly channels: ReadonlySet<FeedChannel> }>(
    wanted: readonly Wanted[],
    checks: RowChecks,
  ): Promise<{ readonly pending: readonly { readonly of: Wanted; readonly delivery: PendingDelivery }[]; readonly outcome: Outcome }> {
    const { subscriptions } = this.#options
    const waits = isOneTransaction(wanted.flatMap(({ rows }) => rows))
    for (;;) {
      for (const { rows, channels } of wanted) await this.#loadFor(channels, rows)
      const pending = wanted.flatMap((of) => pendingFor(of.channels, of.rows).map((delivery) => ({ of, delivery })))
      if (pending.length > MANY) await endOfTurn(this.#options.runtime)
      try {
        const asked = pending.flatMap(({ delivery }) => (this.report.withholds(delivery) ? [] : [delivery]))
        return { pending, outcome: await this.#decide(asked, checks, waits) }
      } catch (error) {
        if (!(error instanceof StalePolicyVersion)) throw error
        subscriptions.markStale(error.oid)
      }
    }
  }

  /** Loads the stale tables of the rows that the channels watch, and no others: these may fail to load, or take long. */
  async #loadFor(channels: ReadonlySet<FeedChannel>, rows: readonly RowChange[]): Promise<void> {
    const oids = new Set(rows.map(({ table }) => table.oid))
    const watched = [...channels].flatMap(({ subscriptions }) => [...subscriptions].map(({ oid }) => oid))
    await this.#options.subscriptions.loadStale(watched.filter((oid) => oids.has(oid)))
  }

  async #decide(pending: readonly PendingDelivery[], checks: RowChecks, waits: boolean): Promise<Outcome> {
    if (pending.length === 0) return { decided: new Map(), faults: [], computed: new Map() }
    const { decided, faults, slow } = await decide(pending, { database: checks, waits, mayBeStale: (oid) => this.#mayBeStale(oid) })
    if (this.#failures.size > 0) for (const { audience } of pending) this.#failures.delete(audience.table.oid)
    const audiencesOf = (deliveries: readonly PendingDelivery[]): Set<Audience> => new Set(deliveries.map(({ audience }) => audience))
    if (checks !== this.#options.database.isolated) this.#breaker.decidedTogether(() => audiencesOf(pending), audiencesOf(slow))
    const outcome = await project(decided, checks, (oid) => this.#options.subscriptions.tableOf(oid))
    return { ...outcome, faults: [...faults, ...outcome.faults] }
  }

  /** A table that fails as a whole may have changed meanwhile: it is loaded and asked about again, a few times. */
  #mayBeStale(oid: number): boolean {
    const failures = (this.#failures.get(oid) ?? 0) + 1
    this.#failures.set(oid, failures)
    return failures <= MAX_STALE
  }

  /** Sends the changes in their order. Nothing is awaited, and nothing throws. */
  #send(
    changes: readonly RowChange[],
    outcomes: readonly Outcome[],
    excluded: DeliverContext['excluded'],
    settled: (change: RowChange, delivered: Delivered) => void,
  ): void {
    const computed = computedOf(outcomes)
    const epoch = this.#options.window.epoch ?? ''
    for (const change of changes) {
      const granted = grantedOf(outcomes, change)
      const failed = (error: unknown, channels: readonly FeedChannel[]): void => this.report.undelivered(change, error, channels)
      settled(change, granted === undefined ? NOT_DELIVERED : deliver(change, granted, { epoch, computed, excluded, failed }))
    }
  }

  #settled(change: RowChange, delivered: Delivered): void {
    const { listener, window, runtime } = this.#options
    if (isMessageTable(change.table)) return this.report.guard('onRow', change.table, () => listener.onRow?.(change))
    this.#notifyDecided(change, delivered)
    window.ring.append(change, runtime.uptime())
  }

  #notifyDecided({ table, action, transaction }: RowChange, delivered: Delivered): void {
    const { onDecided } = this
    if (onDecided === null) return
    // Microseconds to milliseconds.
    const committedAt = Number(transaction.commitTime) / 1_000
    this.report.guard('observer', table, () => onDecided({ schema: table.schema, table: table.name, action, committedAt, ...delivered }))
  }
}

/** Only one transaction is waited for: of several, the first must not wait until the last is visible. */
function isOneTransaction(changes: readonly RowChange[]): boolean {
  return changes.every(({ transaction }) => transaction.xid === changes[0]!.transaction.xid)
}

/** Remembers the identities of the channels. The result says whether a channel still has the same one. */
function generationsOf(channels: ReadonlySet<FeedChannel>): (channel: FeedChannel) => boolean {
  const generations = new Map([...channels].map((channel) => [channel, channel.generation]))
  return (channel) => generations.get(channel) === channel.generation
}
