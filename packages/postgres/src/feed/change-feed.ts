import type { ChangeFeed, ChangeHandle, ChangeListener, ChangeRequest, Identity } from '@tidewire/server'
import type { ChangeBatch, NewEpoch } from '../change-source.ts'
import type { Lsn } from '../lsn.ts'
import { formatPosition, parsePosition, type Place } from '../position.ts'
import type { Table } from '../table.ts'
import type { RowChange } from '../transaction-assembler.ts'
import { parseChangeEntry, type ChangeEntry } from './change-entry.ts'
import { filterText } from './change-row.ts'
import { ChangeRing, type KeptChange, type RingLimits } from './change-ring.ts'
import { candidateFor, decide, StaleEntry, type Candidate, type DecisionFault } from './decision.ts'
import { deliver } from './delivery.ts'
import { FeedChannel, type Subscription } from './feed-channel.ts'
import type { FeedDatabase } from './feed-database.ts'
import { delay, type FeedRuntime } from './feed-runtime.ts'
import { Identities } from './identity.ts'
import { Pipeline } from './pipeline.ts'
import { replay, type Replayer } from './replay.ts'
import { entryMatches, planSubscriptions, planTable } from './subscribe-plan.ts'
import { suppliedColumns } from './supplied-columns.ts'
import { SuspectLane } from './suspect-lane.ts'
import type { RoleFacts } from './table-entry.ts'
import { mayConcern, TableFeed } from './table-feed.ts'

/** What the feed needs of the source of changes. */
export interface FeedSource {
  readonly epoch: string | null
  readonly confirmedLsn: Lsn
  readonly lagBytes: number
  confirm(epoch: string, endLsn: Lsn): void
  pause(): void
  resume(): void
}

export interface FeedOptions {
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
  /** Rows of tables that are not for clients, in their place among the others. */
  onRow?(change: RowChange): void
  /** For logs: what went wrong for whom. Never holds a row. */
  onFault?(fault: { readonly kind: string; readonly table: string; readonly role: string | null; readonly message: string }): void
}

/** Answers of the database that were refused or lost are asked for again after so long, and up to twice that. */
const SUBSCRIBE_RETRY_MS = 5_000
const READY = 'Subscribed to PostgreSQL'

/**
 * Row changes for channels: matches them against what was asked for, has Postgres decide who may see them, and hands them
 * on in the order of their commits.
 */
export class PostgresChangeFeed implements ChangeFeed {
  readonly #database: FeedDatabase
  readonly #source: FeedSource
  readonly #runtime: FeedRuntime
  readonly #options: FeedOptions
  readonly #identities = new Identities()
  readonly #tables = new Map<number, TableFeed>()
  readonly #channels = new Set<FeedChannel>()
  /** Channels that got another identity since the batch at hand was begun. */
  readonly #renewed = new Set<FeedChannel>()
  /** Tables, as described by the stream, whose newcomers were found. */
  readonly #seen = new WeakSet<Table>()
  readonly #ring: ChangeRing
  readonly #pipeline: Pipeline
  readonly #suspects: SuspectLane
  readonly #timers: { cancel(): void }[] = []
  #ready: (() => void)[] = []
  #progress: Lsn = 0n
  #progressWaiters: { readonly lsn: Lsn; readonly done: () => void }[] = []
  #replays = 0
  #closed = false

  constructor(database: FeedDatabase, source: FeedSource, runtime: FeedRuntime, options: FeedOptions) {
    this.#database = database
    this.#source = source
    this.#runtime = runtime
    this.#options = options
    this.#ring = new ChangeRing(options.ring)
    this.#suspects = new SuspectLane(runtime, (candidates) => this.#decideAlone(candidates))
    this.#pipeline = new Pipeline(runtime, source, {
      begin: () => this.#renewed.clear(),
      match: (change) => this.#match(change),
      prepare: (table) => this.#prepare(table),
      settle: (changes, candidates) => this.#settle(changes, candidates),
      stale: (oid) => this.#markStale(oid),
      committed: (endLsn) => this.#committed(endLsn),
    })
    this.#every(options.refreshIntervalMs, () => this.#pipeline.control(() => this.#refresh()))
    this.#every(options.positionIntervalMs, () => this.#tellPositions())
    this.#every(Math.min(options.ring.maxAgeMs, 10_000), () => this.#trim())
  }

  open(request: ChangeRequest, listener: ChangeListener): ChangeHandle {
    const objects = request.entries.filter(({ entry }) => entry !== null)
    const entries: ChangeEntry[] = []
    let refusal =
      objects.length === 0 ? 'No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: nil' : null
    for (const { id, entry } of objects) {
      const parsed = parseChangeEntry(id, entry)
      if (parsed.ok) entries.push(parsed.entry)
      else refusal ??= parsed.message
    }
    const channel = new FeedChannel(request, entries, listener)
    if (refusal !== null) {
      // Never inside the call: the caller does not hold the handle yet.
      const message = refusal
      void Promise.resolve().then(() => channel.tell('error', message))
      return { setIdentity: () => {}, close: () => (channel.closed = true) }
    }
    this.#channels.add(channel)
    void this.#subscribe(channel)
    return { setIdentity: (identity) => this.#setIdentity(channel, identity), close: () => this.#close(channel) }
  }

  onChanges(batch: ChangeBatch): void {
    this.#pipeline.changes(batch)
  }

  onEpoch(event: NewEpoch): void {
    const { confirmedLsn } = this.#source
    this.#pipeline.control(() => {
      this.#ring.restart({ commitLsn: confirmedLsn > 0n ? confirmedLsn - 1n : 0n, seq: 0 })
      this.#progress = confirmedLsn
      if (event.previous !== null) this.#resync(event.reason)
    })
    const ready = this.#ready
    this.#ready = []
    for (const done of ready) done()
  }

  onProgress(lsn: Lsn): void {
    this.#pipeline.control(() => {
      this.#progress = lsn
      const waiters = this.#progressWaiters
      this.#progressWaiters = waiters.filter((waiter) => waiter.lsn > lsn)
      for (const waiter of waiters) if (waiter.lsn <= lsn) waiter.done()
    })
  }

  /** Nothing is delivered afterwards. */
  close(): void {
    this.#closed = true
    for (const timer of this.#timers) timer.cancel()
    for (const channel of this.#channels) channel.closed = true
    this.#pipeline.close()
    for (const done of this.#ready) done()
    for (const { done } of this.#progressWaiters) done()
  }

  async #subscribe(channel: FeedChannel): Promise<void> {
    for (;;) {
      const { generation } = channel
      try {
        await this.#epochKnown()
        const plan = await planSubscriptions(channel, this.#database)
        if (channel.closed || this.#closed) return
        if (channel.generation !== generation) continue
        if (!plan.ok) return this.#refuse(channel, plan.message)
        this.#replaceSubscriptions(channel, plan.subscriptions)
        const startLsn = await this.#database.insertLsn()
        if (channel.closed || this.#closed) return
        if (channel.generation !== generation) continue
        return await this.#start(channel, startLsn)
      } catch (error) {
        if (channel.closed || this.#closed) return
        channel.tell('error', `Unable to subscribe to changes: the database does not answer (${codeOf(error)}). Trying again.`)
        await delay(this.#runtime, SUBSCRIBE_RETRY_MS * (1 + this.#runtime.random()))
      }
      if (channel.closed || this.#closed) return
    }
  }

  /** The subscriptions are registered; `startLsn` was taken after that. */
  async #start(channel: FeedChannel, startLsn: Lsn): Promise<void> {
    const { since, positions } = channel.request
    const { epoch } = this.#source
    const position = (place: Place): Record<string, string> =>
      positions && epoch !== null ? { position: formatPosition({ epoch, ...place }) } : {}
    const before = (lsn: Lsn): Place => ({ commitLsn: lsn - 1n, seq: 0 })
    if (channel.after !== null) return channel.tell('ok', READY, position(before(startLsn)))
    if (since === null) {
      channel.tell('ok', READY, position(before(startLsn)))
      return channel.startAfter(before(startLsn))
    }
    const resumed = await this.#resume(channel, since, startLsn)
    if (channel.closed) return
    if (resumed.recovered) return channel.tell('ok', READY, { ...position(channel.after ?? before(startLsn)), recovered: true })
    // What was committed while it was tried is not live yet either, so the beginning is later.
    channel.live = true
    const start = before(await this.#database.insertLsn())
    channel.tell('ok', READY, { ...position(start), recovered: false, reason: resumed.reason })
    channel.startAfter(start)
  }

  async #resume(
    channel: FeedChannel,
    since: string,
    startLsn: Lsn,
  ): Promise<{ readonly recovered: true } | { readonly recovered: false; readonly reason: string }> {
    const parsed = parsePosition(since)
    if (!parsed.ok) return { recovered: false, reason: parsed.code }
    if (parsed.position.epoch !== this.#source.epoch) return { recovered: false, reason: 'other-epoch' }
    if (parsed.position.commitLsn > startLsn) return { recovered: false, reason: 'position-ahead' }
    if (this.#replays >= this.#options.maxReplays) return { recovered: false, reason: 'too-many-replays' }
    this.#replays++
    try {
      return await replay(channel, parsed.position, startLsn, this.#replayer)
    } finally {
      this.#replays--
    }
  }

  readonly #replayer: Replayer = {
    ring: () => this.#ring,
    epoch: () => this.#source.epoch,
    processed: (lsn) => this.#processed(lsn),
    betweenBatches: (work) => this.#pipeline.controlled(work),
    send: (changes, candidates) => this.#replayChanges(changes, candidates),
  }

  #refuse(channel: FeedChannel, message: string): void {
    this.#replaceSubscriptions(channel, [])
    this.#channels.delete(channel)
    channel.tell('error', message)
  }

  #setIdentity(channel: FeedChannel, identity: Identity): void {
    channel.identity = identity
    channel.generation++
    this.#renewed.add(channel)
    // What is decided from now on is decided for the new one, whether or not it may keep all of its entries.
    for (const subscription of channel.subscriptions) this.#tables.get(subscription.oid)?.rebind(subscription)
    if (channel.after !== null) void this.#subscribe(channel)
  }

  #close(channel: FeedChannel): void {
    channel.closed = true
    this.#channels.delete(channel)
    this.#replaceSubscriptions(channel, [])
  }

  #replaceSubscriptions(channel: FeedChannel, subscriptions: readonly Subscription[]): void {
    // One that stays is kept as it is: changes may be on their way to it.
    const known = new Set([...channel.subscriptions].map(keyOf))
    const wanted = new Set(subscriptions.map(keyOf))
    for (const subscription of channel.subscriptions) if (!wanted.has(keyOf(subscription))) this.#dropSubscription(subscription)
    for (const subscription of subscriptions) if (!known.has(keyOf(subscription))) this.#addSubscription(subscription)
    if (channel.after !== null || channel.request.since === null) channel.live = true
  }

  #dropSubscription(subscription: Subscription): void {
    subscription.channel.subscriptions.delete(subscription)
    const feed = this.#tables.get(subscription.oid)
    feed?.delete(subscription)
    if (feed?.subscriptions.size === 0) this.#tables.delete(subscription.oid)
  }

  #addSubscription(subscription: Subscription): void {
    let feed = this.#tables.get(subscription.oid)
    if (feed === undefined) this.#tables.set(subscription.oid, (feed = new TableFeed(subscription.oid, this.#identities)))
    subscription.channel.subscriptions.add(subscription)
    feed.add(subscription)
  }

  /** Before the changes of a table are looked at: who wants them, and what the catalog says of it now. */
  #prepare(table: Table): Promise<void> | null {
    const feed = this.#tables.get(table.oid)
    const known = this.#seen.has(table)
    if (isOwnTable(table) || (known && (feed === undefined || (feed.table === table && !feed.stale)))) return null
    return this.#describe(table, known)
  }

  async #describe(table: Table, known: boolean): Promise<void> {
    if (!known) await this.#findNewcomers(table)
    await this.#loadEntry(table.oid, table)
    this.#seen.add(table)
  }

  async #loadStale(oids: readonly number[]): Promise<void> {
    for (const oid of new Set(oids)) if (this.#tables.get(oid)?.stale === true) await this.#loadEntry(oid, null)
  }

  async #loadEntry(oid: number, table: Table | null): Promise<void> {
    const feed = this.#tables.get(oid)
    if (feed === undefined) return
    const names = [...new Set([...feed.subscriptions].map(({ channel }) => channel.identity.role))]
    const [entries, roles] = await Promise.all([this.#database.tables([oid], names), this.#rolesOf(names)])
    feed.load(entries.get(oid) ?? null, roles)
    if (table !== null) feed.table = table
  }

  async #rolesOf(names: readonly string[]): Promise<Map<string, RoleFacts>> {
    const roles = new Map<string, RoleFacts>()
    for (const facts of await Promise.all(names.map((name) => this.#database.role(name)))) if (facts.allowed) roles.set(facts.name, facts)
    return roles
  }

  /** Channels whose entries fit a table that they are not subscribed to: it is new, or was made anew. */
  async #findNewcomers(table: Table): Promise<void> {
    const missing = [...this.#channels].filter(
      (channel) =>
        (channel.after !== null || channel.subscriptions.size > 0) &&
        channel.entries.some((entry) => entryMatches(entry, table)) &&
        ![...channel.subscriptions].some(({ oid }) => oid === table.oid),
    )
    if (missing.length === 0) return
    const roles = [...new Set(missing.map(({ identity }) => identity.role))]
    const entry = (await this.#database.tables([table.oid], roles)).get(table.oid)
    if (entry === undefined) return
    for (const channel of missing) {
      const subscriptions = await planTable(channel, entry, this.#database)
      if (!channel.closed) for (const subscription of subscriptions) this.#addSubscription(subscription)
    }
  }

  *#match(change: RowChange): Generator<Candidate> {
    if (change.action === 'TRUNCATE' || isOwnTable(change.table)) return
    const feed = this.#tables.get(change.table.oid)
    if (feed === undefined) return
    for (const subscription of feed.candidates(change)) {
      const { channel } = subscription
      if (channel.live) yield candidateFor(change, subscription, { apart: this.#suspects.has(subscription, change) })
    }
  }

  /** Has Postgres decide, and sends. Rejects without having sent anything. */
  async #settle(changes: readonly RowChange[], candidates: readonly Candidate[]): Promise<void> {
    const faults: DecisionFault[] = []
    let together = candidates.filter(({ apart }) => !apart)
    await this.#decide(together, faults, false)
    let supplied = await this.#supply(together)
    // Whoever got another identity since this was begun is matched and decided about again: other rows may be theirs.
    while (this.#renewed.size > 0) {
      const renewed = new Set(this.#renewed)
      this.#renewed.clear()
      const again = await this.#matchAgain(changes, renewed)
      await this.#decide(again, faults, false)
      together = [...together.filter(({ subscription }) => !renewed.has(subscription.channel)), ...again]
      supplied = await this.#supply(together)
    }
    this.#suspects.enqueue(
      candidates.filter(({ apart, subscription, generation }) => apart && subscription.channel.generation === generation),
    )
    const byChange = groupByChange(together)
    const nowMs = this.#runtime.uptime()
    const epoch = this.#source.epoch ?? ''
    for (const change of changes) {
      if (isOwnTable(change.table)) this.#options.onRow?.(change)
      else {
        const granted = byChange.get(change)
        if (granted !== undefined) deliver(change, granted, { epoch, supplied: supplied.get(change) ?? null })
        this.#ring.append(change, nowMs)
      }
    }
    for (const fault of faults) this.#tellFault(fault)
  }

  #supply(candidates: readonly Candidate[]): Promise<Map<RowChange, Map<string, string>>> {
    return suppliedColumns(candidates, this.#database, (oid) => this.#tables.get(oid)?.entry ?? null)
  }

  async #matchAgain(changes: readonly RowChange[], channels: ReadonlySet<FeedChannel>): Promise<Candidate[]> {
    const subscriptions = [...channels].filter(({ closed, live }) => live && !closed).flatMap((channel) => [...channel.subscriptions])
    await this.#loadStale(subscriptions.map(({ oid }) => oid))
    return changes.flatMap((change) => {
      if (change.action === 'TRUNCATE' || isOwnTable(change.table)) return []
      const text = filterText(change)
      return subscriptions
        .filter((subscription) => subscription.oid === change.table.oid && mayConcern(subscription, change, text))
        .map((subscription) => candidateFor(change, subscription))
    })
  }

  #decide(candidates: readonly Candidate[], faults: DecisionFault[], isReplay: boolean): Promise<void> {
    return decide(candidates, {
      database: this.#database,
      entryOf: (oid) => this.#tables.get(oid)?.entry ?? null,
      replay: isReplay,
      failed: (fault) => faults.push(fault),
    })
  }

  /** Identities whose policies failed before are asked about on their own, so that nobody waits for them. */
  async #decideAlone(candidates: readonly Candidate[]): Promise<readonly DecisionFault[]> {
    const faults: DecisionFault[] = []
    let wanted = candidates
    for (let current = false; !current;) {
      wanted = wanted.filter(({ subscription }) => !subscription.channel.closed)
      await this.#loadStale(wanted.map(({ subscription }) => subscription.oid))
      for (const each of wanted) each.generation = each.subscription.channel.generation
      try {
        await this.#decide(wanted, faults, false)
        current = wanted.every(({ subscription, generation }) => subscription.channel.generation === generation)
      } catch (error) {
        if (!(error instanceof StaleEntry)) throw error
        this.#markStale(error.oid)
      }
    }
    const epoch = this.#source.epoch ?? ''
    for (const [change, granted] of groupByChange(wanted)) deliver(change, granted, { epoch, supplied: null })
    return faults
  }

  async #replayChanges(changes: readonly KeptChange[], candidatesOf: (kept: KeptChange) => readonly Candidate[]): Promise<void> {
    for (;;) {
      try {
        await this.#loadStale(changes.map(({ change }) => change.table.oid))
        const candidates = changes.flatMap((kept) => candidatesOf(kept))
        const faults: DecisionFault[] = []
        await this.#decide(candidates, faults, true)
        const epoch = this.#source.epoch ?? ''
        for (const [change, granted] of groupByChange(candidates)) deliver(change, granted, { epoch, supplied: null })
        for (const fault of faults) this.#tellFault(fault)
        return
      } catch (error) {
        if (!(error instanceof StaleEntry)) throw error
        this.#markStale(error.oid)
      }
    }
  }

  #tellFault(fault: DecisionFault): void {
    const table = `${fault.entry.schema}.${fault.entry.name}`
    this.#options.onFault?.({ kind: fault.kind, table, role: fault.identity?.role ?? null, message: fault.message })
    if (fault.identity !== null && !this.#suspects.add(fault)) return
    const what =
      fault.kind === 'filter' ? 'your filter' : fault.timedOut ? 'its policies took too long for you' : 'its policies failed for you'
    const text =
      fault.kind === 'filter' ? `A change of ${table} could not be compared with ${what}` : `Changes of ${table} are withheld: ${what}`
    for (const channel of new Set(fault.candidates.map(({ subscription }) => subscription.channel))) channel.tell('error', text)
  }

  #markStale(oid: number): void {
    const feed = this.#tables.get(oid)
    if (feed !== undefined) feed.stale = true
  }

  #committed(endLsn: Lsn): void {
    if (this.#ring.size > 0) this.#ring.commit(endLsn)
    else if (this.#source.epoch !== null) this.#source.confirm(this.#source.epoch, endLsn)
    this.#trim()
  }

  #trim(): void {
    const limit = this.#source.lagBytes > this.#options.maxWalBytes ? Math.floor(this.#ring.bytes / 2) : undefined
    const endLsn = this.#ring.trim(this.#runtime.uptime(), limit)
    if (endLsn !== null && this.#source.epoch !== null) this.#source.confirm(this.#source.epoch, endLsn)
  }

  /** The slot was lost or made anew: what happened in between cannot be told any more. */
  #resync(reason: string): void {
    for (const channel of this.#channels) {
      if (channel.after === null) continue
      channel.tell('error', 'Changes may have been missed: load your data again', { resync: true, reason })
      void this.#subscribe(channel)
    }
  }

  /** What the stream does not tell: publications, memberships, functions. */
  async #refresh(): Promise<void> {
    for (const feed of this.#tables.values()) feed.stale = true
    if (this.#channels.size === 0) return
    const published = await this.#database.publishedTables()
    for (const channel of this.#channels) {
      if (channel.after === null) continue
      const gone = channel.entries.some((entry) => !published.some((table) => entryMatches(entry, table)))
      if (gone) void this.#subscribe(channel)
    }
  }

  #tellPositions(): void {
    const { epoch } = this.#source
    const place = this.#pipeline.isIdle ? { commitLsn: this.#progress > 0n ? this.#progress - 1n : 0n, seq: 0 } : this.#ring.last
    if (epoch === null || place === null) return
    const position = formatPosition({ epoch, ...place })
    for (const channel of this.#channels)
      if (channel.request.positions && channel.after !== null) channel.tell('ok', 'Position', { position })
  }

  #epochKnown(): Promise<void> {
    return this.#source.epoch !== null || this.#closed ? Promise.resolve() : new Promise((resolve) => this.#ready.push(resolve))
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

/** The server's own table of messages: its rows are not row changes. */
function isOwnTable({ schema, name }: Table): boolean {
  return schema === 'realtime' && /^messages(?:_|$)/.test(name)
}

function keyOf({ order, oid }: Subscription): string {
  return `${order} ${oid}`
}

function groupByChange(candidates: readonly Candidate[]): Map<RowChange, Candidate[]> {
  const groups = new Map<RowChange, Candidate[]>()
  for (const candidate of candidates) {
    const group = groups.get(candidate.change)
    if (group === undefined) groups.set(candidate.change, [candidate])
    else group.push(candidate)
  }
  return groups
}

function codeOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : 'no connection'
}
