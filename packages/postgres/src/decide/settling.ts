import type { ChangesFault } from '@tidewire/protocol'
import type { DecidedChange } from '@tidewire/server'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { ChangeRing, KeptChange } from '../subscribe/change-ring.ts'
import type { Batch } from './batch.ts'
import { decideCrowds } from './crowd-decision.ts'
import { CrowdSettling } from './crowd-settling.ts'
import { candidateFor, decide, StaleEntry, type Candidate, type DecisionContext, type DecisionFault } from './decision.ts'
import { deliver, TO_NOBODY, type Delivered } from '../deliver/delivery.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import type { FeedDatabase } from './feed-database.ts'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { Subscriptions } from '../subscribe/subscriptions.ts'
import { lacksValues, suppliedColumns, type Supplied, type Told } from '../deliver/supplied-columns.ts'
import { SuspectLane } from './suspect-lane.ts'
import { faultOf, mayConcern } from '../subscribe/table-feed.ts'

/** Whoever wants to know more than the channels are told. */
export interface SettlingListener {
  /** Rows of tables that are not for clients, in their place among the others. */
  onRow?(change: RowChange): void
  /** For logs: what went wrong for whom. Never holds a row. */
  onFault?(fault: { readonly kind: string; readonly table: string; readonly role: string | null; readonly message: string }): void
}

export interface SettlingOptions {
  readonly database: FeedDatabase
  readonly source: { readonly epoch: string | null }
  readonly runtime: FeedRuntime
  readonly subscriptions: Subscriptions
  readonly ring: ChangeRing
  readonly listener: SettlingListener
}

/** Takes changes from the subscriptions that they may concern, through the database's decision, to the channels. */
export class Settling {
  readonly #options: SettlingOptions
  readonly #suspects: SuspectLane
  /** Channels that got another identity since the batch at hand was begun. */
  readonly #renewed = new Set<FeedChannel>()
  /** Told of every change that comes live; `null`: nobody wants to know. */
  decided: ((change: DecidedChange) => void) | null = null

  constructor(options: SettlingOptions) {
    this.#options = options
    this.#suspects = new SuspectLane(options.runtime, (candidates) => this.#decideAlone(candidates))
  }

  /** The next batch is about to be matched. */
  begin(): void {
    this.#renewed.clear()
  }

  /** The channel has another identity; what is on its way is decided again for that one. */
  renewed(channel: FeedChannel): void {
    this.#renewed.add(channel)
  }

  /** What of it can be told without the database: whom the change may concern. */
  match(change: RowChange, batch: Batch): void {
    if (change.action === 'TRUNCATE' || isOwnTable(change.table)) return
    const { subscriptions } = this.#options
    for (const subscription of subscriptions.candidates(change)) {
      const { channel } = subscription
      if (channel.live) batch.candidates.push(candidateFor(change, subscription, { apart: this.#suspects.has(subscription, change) }))
    }
    const crowd = change.action === 'DELETE' ? null : subscriptions.crowdOf(change.table.oid)
    if (crowd !== null && crowd.members.size > 0) batch.ask(crowd, change)
  }

  /** Has Postgres decide, and sends. Rejects without having sent anything. */
  async settle(batch: Batch): Promise<void> {
    const { changes } = batch
    const faults: DecisionFault[] = []
    // Of several transactions, the first are not to wait for the last.
    const waits = changes.every(({ transaction }) => transaction.xid === changes[0]!.transaction.xid)
    const crowds = new CrowdSettling(batch, this.#options.subscriptions, this.#suspects)
    let together = inOrder(changes, [...batch.candidates.filter(({ apart }) => !apart), ...crowds.former])
    const context = this.#context(faults, { waits })
    await Promise.all([decide(together, context), decideCrowds(crowds.questions, context)])
    crowds.noteShares()
    let supplied = await this.#supply(together, crowds)
    // Whoever got another identity since this was begun is matched and decided about again: other rows may be theirs.
    while (this.#renewed.size > 0) {
      const renewed = new Set(this.#renewed)
      this.#renewed.clear()
      crowds.leaveOut(renewed)
      const again = await this.#matchAgain(changes, renewed)
      await decide(again, context)
      together = [...together.filter(({ subscription }) => !renewed.has(subscription.channel)), ...again]
      supplied = await this.#supply(together, crowds)
    }
    const apart = batch.candidates.filter((each) => each.apart && each.subscription.channel.generation === each.generation)
    this.#suspects.enqueue(crowds.withSuspects(apart))
    const byChange = groupByChange(together)
    const nowMs = this.#options.runtime.uptime()
    for (const change of changes) {
      if (isOwnTable(change.table)) this.#options.listener.onRow?.(change)
      else {
        const granted = [...(byChange.get(change) ?? []), ...crowds.granted(change)]
        this.#tellDecided(change, granted.length === 0 ? TO_NOBODY : this.#deliver(change, granted, supplied))
        this.#options.ring.append(change, nowMs)
      }
    }
    for (const fault of faults) this.#tellFault(fault)
  }

  #supply(candidates: readonly Candidate[], crowds?: CrowdSettling): Promise<ReadonlyMap<RowChange, Supplied>> {
    const told = toldTo(candidates, crowds)
    return suppliedColumns(told, this.#options.database, (oid) => this.#options.subscriptions.entryOf(oid))
  }

  async #matchAgain(changes: readonly RowChange[], channels: ReadonlySet<FeedChannel>): Promise<Candidate[]> {
    const subscriptions = [...channels].filter(({ closed, live }) => live && !closed).flatMap((channel) => [...channel.subscriptions])
    await this.#options.subscriptions.loadStale(subscriptions.map(({ oid }) => oid))
    return changes.flatMap((change) => {
      if (change.action === 'TRUNCATE' || isOwnTable(change.table)) return []
      return subscriptions
        .filter(
          (subscription) =>
            subscription.oid === change.table.oid &&
            mayConcern(subscription, change, this.#options.subscriptions.filterTextOf(subscription, change)),
        )
        .map((subscription) => candidateFor(change, subscription))
    })
  }

  #context(faults: DecisionFault[], { waits = true }: Partial<DecisionContext> = {}): DecisionContext {
    return {
      database: this.#options.database,
      entryOf: (oid) => this.#options.subscriptions.entryOf(oid),
      waits,
      failed: (fault) => faults.push(fault),
    }
  }

  /** Identities whose policies failed before are asked about on their own, so that nobody waits for them. */
  async #decideAlone(candidates: readonly Candidate[]): Promise<readonly DecisionFault[]> {
    const faults: DecisionFault[] = []
    let wanted = candidates
    let supplied: ReadonlyMap<RowChange, Supplied> = new Map()
    for (let current = false; !current;) {
      wanted = wanted.filter(({ subscription }) => !subscription.channel.closed)
      await this.#options.subscriptions.loadStale(wanted.map(({ subscription }) => subscription.oid))
      for (const each of wanted) each.generation = each.subscription.channel.generation
      try {
        await decide(wanted, this.#context(faults))
        supplied = await this.#supply(wanted)
        current = wanted.every(({ subscription, generation }) => subscription.channel.generation === generation)
      } catch (error) {
        if (!(error instanceof StaleEntry)) throw error
        this.#options.subscriptions.markStale(error.oid)
      }
    }
    for (const [change, granted] of groupByChange(wanted)) this.#tellDecided(change, this.#deliver(change, granted, supplied))
    return faults
  }

  /** The same for what is sent again, to a channel that missed it. */
  async replay(changes: readonly KeptChange[], candidatesOf: (kept: KeptChange) => readonly Candidate[]): Promise<void> {
    for (;;) {
      try {
        await this.#options.subscriptions.loadStale(changes.map(({ change }) => change.table.oid))
        const candidates = changes.flatMap((kept) => candidatesOf(kept))
        const faults: DecisionFault[] = []
        await decide(candidates, this.#context(faults))
        const supplied = await this.#supply(candidates)
        for (const [change, granted] of groupByChange(candidates)) this.#deliver(change, granted, supplied)
        for (const fault of faults) this.#tellFault(fault)
        return
      } catch (error) {
        if (!(error instanceof StaleEntry)) throw error
        this.#options.subscriptions.markStale(error.oid)
      }
    }
  }

  #deliver(change: RowChange, granted: readonly Candidate[], supplied: ReadonlyMap<RowChange, Supplied>): Delivered {
    return deliver(change, granted, { epoch: this.#options.source.epoch ?? '', supplied: (row) => supplied.get(row) ?? null })
  }

  #tellDecided({ table, action, transaction }: RowChange, delivered: Delivered): void {
    if (this.decided === null) return
    // The commit's own time is in microseconds.
    const committedAt = Number(transaction.commitTime) / 1_000
    this.decided({ schema: table.schema, table: table.name, action, committedAt, ...delivered })
  }

  #tellFault(fault: DecisionFault): void {
    const table = `${fault.entry.schema}.${fault.entry.name}`
    this.#options.listener.onFault?.({ kind: fault.kind, table, role: fault.identity?.role ?? null, message: fault.message })
    if (fault.identity !== null && !this.#suspects.add(fault)) return
    const what =
      fault.kind === 'filter' ? 'your filter' : fault.timedOut ? 'its policies took too long for you' : 'its policies failed for you'
    const text =
      fault.kind === 'filter' ? `A change of ${table} could not be compared with ${what}` : `Changes of ${table} are withheld: ${what}`
    const warning: ChangesFault =
      fault.kind === 'filter'
        ? { code: 'changes-withheld', hint: 'Change the filter: Postgres cannot evaluate it for every row.' }
        : { code: 'policy-failed', hint: `Look at the SELECT policies of ${table}; "Why?" in the inspector shows the error.` }
    for (const channel of fault.channels) channel.warn(text, warning)
  }
}

/** The server's own table of messages: its rows are not row changes. */
export function isOwnTable({ schema, name }: Table): boolean {
  return schema === 'realtime' && /^messages(?:_|$)/.test(name)
}

/** What is told of changes of which the stream does not tell everything. */
function* toldTo(candidates: readonly Candidate[], crowds: CrowdSettling | undefined): Generator<Told> {
  for (const { allowed, content, change, subscription } of candidates) {
    const { binding } = subscription
    if (!allowed || content === 'key' || binding === null || !lacksValues(change.table) || faultOf(binding, change) !== null) continue
    yield { change: content === 'image' ? change : content, columns: binding.columns, role: binding.role }
  }
  if (crowds !== undefined) yield* crowds.told()
}

/** Change by change; those that stand before the others of a change stay there. */
function inOrder(changes: readonly RowChange[], candidates: Candidate[]): Candidate[] {
  const places = new Map(changes.map((change, place) => [change, place]))
  return candidates.sort((a, b) => places.get(a.change)! - places.get(b.change)!)
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
