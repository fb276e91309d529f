import type { GapReason } from '@tidewire/protocol'
import type { PublishedTable } from '../../catalog/catalog-table.ts'
import { isUnreachable } from '../../catalog/database-fault.ts'
import { getOrMake } from '../../catalog/multimap.ts'
import { delay, endOfTurn, type FeedRuntime } from '../../feed-runtime.ts'
import { logPositionOf } from '../../replication/change-row.ts'
import type { Lsn } from '../../replication/lsn.ts'
import { compareLogPositions, type LogPosition } from '../../replication/position.ts'
import type { Table } from '../../replication/table.ts'
import type { RowChange } from '../../replication/transaction-assembler.ts'
import type { FeedChannel } from '../feed-channel.ts'
import { mayName } from '../request/change-entry.ts'
import type { FeedWindow } from './feed-window.ts'

export interface ResumeQueueOptions {
  readonly runtime: FeedRuntime
  readonly window: FeedWindow
  readonly maxWaitMs: number
  /** Runs while nothing is being decided or delivered. */
  betweenBatches<T>(work: () => Promise<T>): Promise<T>
  /**
   * Decides and delivers. Returns the channels that got the changes: a channel with a new identity did not. Rejects when the database
   * cannot be reached, without having sent anything.
   */
  replay(changes: readonly RowChange[], channels: ReadonlySet<FeedChannel>): Promise<ReadonlySet<FeedChannel>>
}

export interface ResumeFrom {
  /** The client has everything up to it. */
  readonly since: LogPosition
  /** Read after the channel's subscriptions stood in the index. */
  readonly flushedLsn: Lsn
  /** What the channel was planned with. */
  readonly published: readonly PublishedTable[]
}

interface Resuming {
  readonly channel: FeedChannel
  readonly epoch: string | null
  readonly sinceMs: number
  cursor: LogPosition
  readonly done: (missed: GapReason | null) => void
}

/** Changes of a step, and deliveries that a step makes at most where many channels take part in it. */
const MAX_CHANGES = 256
const MAX_DELIVERIES = 20_000
/** So many changes are sent between batches: live changes wait meanwhile. */
const LAST_CHANGES = 16
const RETRY_MS = 250

/**
 * Sends channels what they missed, in order and as far as they may see it now, and makes them live without a gap. Channels take
 * turns, step by step; those that miss the same take the step together, so that it is decided and written once for all of them.
 */
export class ResumeQueue {
  readonly #options: ResumeQueueOptions
  #queue: Resuming[] = []
  #running = false
  #closed = false
  progressed = 0

  constructor(options: ResumeQueueOptions) {
    this.#options = options
  }

  get hasWork(): boolean {
    return this.#queue.length > 0
  }

  /**
   * Returns why the channel cannot get what it missed; then it is not live. `null`: it has all of it, and is live. To be called once
   * its subscriptions stand in the index.
   */
  async resume(channel: FeedChannel, { since, flushedLsn, published }: ResumeFrom): Promise<GapReason | null> {
    const { window, runtime } = this.#options
    const request = { channel, epoch: window.epoch, sinceMs: runtime.uptime(), cursor: since }
    const obstacle = this.#obstacle(request)
    if (obstacle !== null) return obstacle
    if (channel.isIncomplete) return 'withheld'
    // After a restart, what was missed may still be on its way from the slot.
    await window.processed(flushedLsn)
    for (const table of window.ring.writtenAfter(since)) if (hasLeft(table, channel, published)) return 'publication-changed'
    return new Promise((done) => {
      this.#queue.push({ ...request, done })
      if (this.#running || this.#closed) return
      this.#running = true
      void this.#run()
    })
  }

  close(): void {
    this.#closed = true
  }

  async #run(): Promise<void> {
    const { runtime } = this.#options
    // Channels that come back in the same turn go together from the first step on.
    await endOfTurn(runtime)
    for (let next = this.#next(); next !== undefined && !this.#closed; next = this.#next()) {
      const resuming = next
      try {
        if (!(await this.#step(resuming, MAX_CHANGES))) await this.#options.betweenBatches(() => this.#finish(resuming))
      } catch (error) {
        if (isUnreachable(error)) await delay(runtime, RETRY_MS)
        else this.#end(resuming, 'withheld')
      }
      this.progressed++
      // Sockets are written and read between two steps.
      await endOfTurn(runtime)
    }
    this.#running = false
  }

  /** The one whose turn it is, of those that can go on. */
  #next(): Resuming | undefined {
    for (const each of this.#queue) {
      const obstacle = each.channel.closed ? 'unspecified' : this.#obstacle(each)
      if (obstacle === null) return each
      this.#end(each, obstacle)
    }
    return undefined
  }

  /** Why what the channel missed cannot be sent; `null`: it can. */
  #obstacle({ channel, epoch, sinceMs, cursor }: Omit<Resuming, 'done'>): GapReason | null {
    const { window, runtime, maxWaitMs } = this.#options
    if (epoch !== window.epoch) return 'other-epoch'
    if (!window.ring.reaches(cursor)) return 'position-too-old'
    for (const { oid } of channel.subscriptions) {
      if (window.ring.hasGapAfter(cursor, oid)) return 'publication-changed'
    }
    return runtime.uptime() - sinceMs > maxWaitMs ? 'too-many-replays' : null
  }

  /** False: there are few changes left, or none. */
  async #step(first: Resuming, atMost: number): Promise<boolean> {
    const limit = Math.max(LAST_CHANGES, Math.min(atMost, Math.floor(MAX_DELIVERIES / this.#queue.length)))
    const changes = this.#options.window.ring.after(first.cursor, limit)
    if (changes.length < LAST_CHANGES) return false
    await this.#send(changes, first.cursor)
    return true
  }

  /** Runs between batches, so that nothing is missed between the ring and live changes. Does nothing where too many have come. */
  async #finish(first: Resuming): Promise<void> {
    // What came before it between the batches may have begun another epoch.
    if (first.channel.closed || this.#obstacle(first) !== null) return
    const changes = this.#options.window.ring.after(first.cursor, LAST_CHANGES * 4 + 1)
    if (changes.length > LAST_CHANGES * 4) return
    const from = first.cursor
    if (changes.length > 0) await this.#send(changes, from)
    const end = changes.length > 0 ? logPositionOf(changes.at(-1)!) : from
    const isAtEnd = (each: Resuming): boolean => compareLogPositions(each.cursor, end) === 0 && this.#obstacle(each) === null
    for (const each of this.#queue.filter(isAtEnd)) {
      each.channel.dispatch({ type: 'started', after: end })
      this.#end(each, null)
    }
  }

  /** Sends to every channel whose cursor lies within these changes, and moves those to the end of the queue. */
  async #send(changes: readonly RowChange[], from: LogPosition): Promise<void> {
    const end = logPositionOf(changes.at(-1)!)
    const takesPart = ({ cursor }: Resuming): boolean => compareLogPositions(cursor, from) >= 0 && compareLogPositions(cursor, end) < 0
    const together = this.#queue.filter((each) => takesPart(each) && !each.channel.closed)
    for (const { channel, cursor } of together) channel.dispatch({ type: 'replayed', after: cursor })
    const sent = await this.#options.replay(changes, new Set(together.map(({ channel }) => channel)))
    for (const each of together) {
      if (!sent.has(each.channel)) continue
      each.cursor = end
      each.channel.dispatch({ type: 'replayed', after: end })
    }
    const tookPart = new Set(together)
    this.#queue = [...this.#queue.filter((each) => !tookPart.has(each)), ...together]
  }

  #end(resuming: Resuming, missed: GapReason | null): void {
    this.#queue = this.#queue.filter((each) => each !== resuming)
    resuming.done(missed)
  }
}

const byOid = new WeakMap<readonly PublishedTable[], ReadonlyMap<number, PublishedTable>>()

/**
 * Whether the channel got changes of the table, and gets none now: it was dropped, renamed, or is no longer published. A table that is
 * still published under a name of the entry is left to another one of exactly this name.
 */
function hasLeft({ oid, schema, name }: Table, { entries }: FeedChannel, published: readonly PublishedTable[]): boolean {
  const now = getOrMake(byOid, published, () => new Map(published.map((table) => [table.oid, table]))).get(oid)
  if (now !== undefined && now.schema === schema && now.name === name) return false
  return entries.some((entry) => mayName(entry, { schema, name }) && (now === undefined || !mayName(entry, now)))
}
