import { errorText, isUnreachable } from '../catalog/database-fault.ts'
import { append, getOrMake, groupBy } from '../catalog/multimap.ts'
import { NotYetVisible } from '../decide/ask-again.ts'
import { SLOW_MS, type CircuitBreaker } from '../decide/circuit-breaker.ts'
import type { DecisionFault } from '../decide/decision.ts'
import { delay, endOfTurn, type FeedRuntime } from '../feed-runtime.ts'
import { logPositionOf } from '../replication/change-row.ts'
import { compareLogPositions } from '../replication/position.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import { audienceKey, subscribersOf, type Audience, type PendingDelivery } from '../subscribe/audience.ts'

/** Changes decided in isolation for some channels. All entries of a channel go together, so it gets one message a change. */
export interface IsolatedWork {
  /** Equal for the same audiences. */
  readonly key: string
  /** The cause of the isolation. */
  readonly audiences: ReadonlySet<Audience>
  readonly rows: readonly RowChange[]
  readonly channels: ReadonlySet<FeedChannel>
}

export interface ProcessedWork<Work extends IsolatedWork> {
  readonly faults: readonly DecisionFault[]
  /** Work that timed out together with other work. Nothing of it was delivered. */
  readonly late: readonly Work[]
}

export interface IsolatedDispatcherOptions {
  readonly runtime: FeedRuntime
  readonly breaker: CircuitBreaker
  /** Decides and delivers. Rejects without having delivered anything. */
  process<Work extends IsolatedWork>(work: readonly Work[]): Promise<ProcessedWork<Work>>
  failed(work: IsolatedWork, reason: string): void
}

/** Rows that may wait: for one key, and in all. */
const MAX_ROWS_EACH = 2_000
const MAX_ROWS = 50_000
const MAX_ROWS_AT_ONCE = 512
const RETRY_MS = 500

type Kind = 'healthy' | 'suspect'

interface Waiting extends IsolatedWork {
  readonly release: () => void
}

/**
 * Decides rows for slow policies, and for filters that only Postgres evaluates, beside the ordered path. One worker takes
 * healthy audiences, together; another takes those that failed or were slow, one by one and in turn. The order within a channel
 * is kept: later changes wait in the channel.
 */
export class IsolatedDispatcher {
  readonly #options: IsolatedDispatcherOptions
  /** By audiences, in the order of their turns. */
  readonly #waiting = new Map<string, Waiting[]>()
  readonly #running: Record<Kind, boolean> = { healthy: false, suspect: false }
  /** Work that waits or runs, oldest first. `#rows` counts its rows. */
  readonly #pending = new Set<Waiting>()
  #rows = 0
  #closed = false
  progressed = 0

  constructor(options: IsolatedDispatcherOptions) {
    this.#options = options
  }

  get hasWork(): boolean {
    return this.#pending.size > 0
  }

  get oldest(): RowChange | null {
    for (const { rows } of this.#pending) return rows[0]!
    return null
  }

  add(work: readonly IsolatedWork[]): void {
    if (work.length === 0) return
    for (const each of work) this.#enqueue(each)
    this.#start('healthy')
    this.#start('suspect')
  }

  /** Drops all work: it is of a log that the database does not have any more, and cannot be decided. */
  dropAll(): void {
    this.#waiting.clear()
    this.#finish([...this.#pending])
  }

  close(): void {
    this.#closed = true
    this.#waiting.clear()
  }

  #enqueue(work: IsolatedWork): void {
    const { key, rows, channels } = work
    const waiting = (this.#waiting.get(key) ?? []).reduce((sum, each) => sum + each.rows.length, 0)
    if (waiting + rows.length > MAX_ROWS_EACH || this.#rows + rows.length > MAX_ROWS)
      return this.#options.failed(work, 'too many changes wait for slow policies or filters')
    this.#rows += rows.length
    // One transaction may become visible long before the next one.
    for (const ofTransaction of groupBy(rows, ({ transaction }) => transaction).values()) {
      const releases = [...channels].map((channel) => channel.defer(logPositionOf(ofTransaction[0]!)))
      const waitingWork = { ...work, rows: ofTransaction, release: () => releases.forEach((release) => release()) }
      this.#pending.add(waitingWork)
      append(this.#waiting, key, waitingWork)
    }
  }

  #start(kind: Kind): void {
    if (this.#running[kind]) return
    this.#running[kind] = true
    void this.#run(kind)
  }

  async #run(kind: Kind): Promise<void> {
    // Work that is added later in this turn shares the question.
    await endOfTurn(this.#options.runtime)
    for (let work = this.#take(kind); work.length > 0 && !this.#closed; work = this.#take(kind)) {
      await this.#process(work)
      // Audiences may have become healthy or suspect meanwhile: the other worker may have work now.
      this.#start(kind === 'healthy' ? 'suspect' : 'healthy')
    }
    this.#running[kind] = false
  }

  /** Takes healthy work together, or one suspect key alone; about 512 rows at most. */
  #take(kind: Kind): Waiting[] {
    const taken: Waiting[] = []
    let rows = 0
    for (const [key, works] of this.#waiting) {
      const isSuspect = [...works[0]!.audiences].some((audience) => this.#options.breaker.holds(audience))
      if (isSuspect !== (kind === 'suspect')) continue
      while (works.length > 0 && rows < MAX_ROWS_AT_ONCE) {
        rows += works[0]!.rows.length
        taken.push(works.shift()!)
      }
      this.#waiting.delete(key)
      if (works.length > 0) this.#waiting.set(key, works)
      if (kind === 'suspect' || rows >= MAX_ROWS_AT_ONCE) break
    }
    return taken
  }

  async #process(work: readonly Waiting[]): Promise<void> {
    const { runtime } = this.#options
    const at = runtime.uptime()
    while (!this.#closed && work.some((each) => this.#pending.has(each))) {
      try {
        const { faults, late } = await this.#options.process(work)
        if (late.length > 0) this.#askAlone(late.filter((each) => this.#pending.has(each)))
        else this.#judge(work, faults, runtime.uptime() - at)
        return this.#finish(work.filter((each) => !late.includes(each)))
      } catch (error) {
        const visible =
          error instanceof NotYetVisible ? work.filter(({ rows }) => !rows.some(({ transaction }) => error.xids.has(transaction.xid))) : []
        if (visible.length > 0 && visible.length < work.length) {
          // Earlier work does not wait for a transaction that is not visible yet.
          await this.#process(visible)
          return this.#process(work.filter((each) => !visible.includes(each)))
        }
        if (!isUnreachable(error)) {
          for (const each of work) this.#options.failed(each, errorText(error))
          return this.#finish(work)
        }
        await delay(runtime, RETRY_MS)
      }
    }
  }

  #finish(work: readonly Waiting[]): void {
    this.progressed++
    for (const each of work) {
      if (!this.#pending.delete(each)) continue
      this.#rows -= each.rows.length
      each.release()
    }
  }

  /** Puts the work back in line, and marks its audiences suspect: each piece is asked about alone. */
  #askAlone(work: readonly Waiting[]): void {
    this.progressed++
    for (const { audiences } of work) for (const audience of audiences) this.#options.breaker.suspect(audience)
    for (const [key, works] of groupBy(work, (each) => each.key)) this.#waiting.set(key, [...works, ...(this.#waiting.get(key) ?? [])])
  }

  /** Where several took long together, each is asked alone from now on, which shows the slow one. */
  #judge(work: readonly IsolatedWork[], faults: readonly DecisionFault[], tookMs: number): void {
    const { breaker } = this.#options
    const faulty = new Set(faults.flatMap(({ deliveries }) => deliveries.map(({ audience }) => audienceKey(audience))))
    for (const audience of new Set(work.flatMap(({ audiences }) => [...audiences]))) {
      if (faulty.has(audienceKey(audience))) continue
      if (tookMs > SLOW_MS) breaker.suspect(audience)
      breaker.answered(audience, tookMs)
    }
  }
}

/** Changes that are decided in isolation, with the channels for which they are. */
export type Isolated = ReadonlyMap<RowChange, ReadonlySet<FeedChannel>>

/** Divides deliveries into pieces of work by the audiences that cause the isolation. */
export function isolate(pending: readonly PendingDelivery[]): { readonly work: IsolatedWork[]; readonly isolated: Isolated } {
  if (pending.length === 0) return { work: [], isolated: new Map() }
  const byChannel = new Map<FeedChannel, PendingDelivery[]>()
  for (const delivery of pending)
    for (const { channel } of subscribersOf(delivery)) if (channel.receives) append(byChannel, channel, delivery)
  const byKey = new Map<string, { readonly deliveries: Set<PendingDelivery>; readonly channels: Set<FeedChannel> }>()
  for (const [channel, deliveries] of byChannel) {
    const key = [...new Set(deliveries.map(({ audience }) => audienceKey(audience)))].join('\n')
    const ofKey = getOrMake(byKey, key, () => ({ deliveries: new Set<PendingDelivery>(), channels: new Set<FeedChannel>() }))
    for (const delivery of deliveries) ofKey.deliveries.add(delivery)
    ofKey.channels.add(channel)
  }
  const work = Array.from(byKey, ([key, { deliveries, channels }]): IsolatedWork => {
    const rows = [...new Set([...deliveries].flatMap((delivery) => delivery.rows))].sort(byPosition)
    return { key, audiences: new Set([...deliveries].map(({ audience }) => audience)), rows, channels }
  })
  const isolated = new Map<RowChange, Set<FeedChannel>>()
  for (const { rows, channels } of work)
    for (const row of rows) {
      const ofRow = getOrMake(isolated, row, () => new Set<FeedChannel>())
      for (const channel of channels) ofRow.add(channel)
    }
  return { work, isolated }
}

function byPosition(one: RowChange, other: RowChange): number {
  return compareLogPositions(logPositionOf(one), logPositionOf(other))
}
