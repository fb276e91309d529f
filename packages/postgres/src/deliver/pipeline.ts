import type { Lsn } from '../replication/lsn.ts'
import type { Table } from '../replication/table.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import { errorText, isUnreachable } from '../catalog/database-fault.ts'
import { StalePolicyVersion, NotYetVisible } from '../decide/ask-again.ts'
import { delay, endOfTurn, type FeedRuntime } from '../feed-runtime.ts'
import { Batch } from '../subscribe/batch.ts'
import type { FeedWindow } from '../subscribe/resume/feed-window.ts'
import type { Subscriptions } from '../subscribe/subscriptions.ts'
import type { ChangeDispatcher } from './change-dispatcher.ts'
import { PipelineQueue, type Step } from './pipeline-queue.ts'

/** The parts around the pipeline: the source of its changes, and what each change passes. */
export interface PipelineParts {
  readonly source: { pause(): void; resume(): void }
  readonly subscriptions: Pick<Subscriptions, 'isPrepared' | 'prepare' | 'match' | 'markStale'>
  readonly dispatcher: Pick<ChangeDispatcher, 'begin' | 'dispatch' | 'skip' | 'setAside'>
  readonly window: Pick<FeedWindow, 'progressed' | 'trim'>
}

const MAX_CHANGES = 256
const PAUSE_BYTES = 32 * 1024 * 1024
const RESUME_BYTES = 8 * 1024 * 1024
/** Other work of the event loop waits no longer than this and a batch. */
const MAX_TURN_MS = 10
const FIRST_RETRY_MS = 50
const MAX_RETRY_MS = 2_000

/** Takes changes batch by batch: while one is being decided, the next gathers. Keeps the order. A change that fails alone is skipped. */
export class Pipeline {
  readonly #runtime: FeedRuntime
  readonly #parts: PipelineParts
  readonly #queue = new PipelineQueue()
  /** Transactions that are not visible yet. What comes before them is delivered first; then they are waited for alone. */
  #notVisible: ReadonlySet<number> = new Set()
  #paused = false
  #running = false
  #closed = false
  /** Smaller while it is found out which change fails. */
  #maxChanges = MAX_CHANGES
  #tried = 0
  /** When the event loop was given back last. */
  #turnAt = 0
  /** Grows when what was queued is dropped: a batch that was under way then is not in the queue any more. */
  #generation = 0
  /** Grows with every batch or control step. */
  progressed = 0
  /** Why nothing moves: the database cannot be reached. */
  trouble: string | null = null

  constructor(runtime: FeedRuntime, parts: PipelineParts) {
    this.#runtime = runtime
    this.#parts = parts
  }

  get hasWork(): boolean {
    return this.#running || this.#queue.size > 0
  }

  /** The change that has waited longest. */
  get oldest(): RowChange | null {
    return this.#queue.firstChange
  }

  changes(changes: readonly RowChange[]): void {
    for (const change of changes) this.#queue.push({ kind: 'change', change })
    if (this.#queue.bytes > PAUSE_BYTES && !this.#paused) {
      this.#paused = true
      this.#parts.source.pause()
    }
    this.#start()
  }

  /** The stream has come this far. */
  progress(lsn: Lsn): void {
    this.#queue.push({ kind: 'progress', lsn })
    this.#start()
  }

  /** Runs `work` as a barrier: after all earlier steps, before all later ones, never inside a batch. */
  control(work: () => void | Promise<void>): void {
    this.#queue.push({ kind: 'control', work })
    this.#start()
  }

  controlled<T>(work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.control(() => Promise.resolve().then(work).then(resolve, reject))
    })
  }

  /** Drops what came from the stream so far: it is of a log that the database does not have any more, and cannot be decided. */
  dropStream(): void {
    this.#generation++
    this.#queue.dropStream()
    this.#notVisible = new Set()
    this.#resumeSource()
  }

  close(): void {
    this.#closed = true
    this.#queue.clear()
  }

  #start(): void {
    if (this.#running || this.#closed) return
    this.#running = true
    void this.#run()
  }

  async #run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS
    this.#turnAt = this.#runtime.uptime()
    while (this.#queue.size > 0 && !this.#closed) {
      const generation = this.#generation
      try {
        await this.#next()
        retryMs = FIRST_RETRY_MS
        this.trouble = null
        this.#maxChanges = Math.min(this.#maxChanges * 2, MAX_CHANGES)
      } catch (error) {
        if (generation !== this.#generation) continue
        if (error instanceof StalePolicyVersion) this.#parts.subscriptions.markStale(error.oid)
        else if (error instanceof NotYetVisible) this.#notVisible = error.xids
        else if (isUnreachable(error)) {
          // Nothing was delivered, so nothing is lost by asking again.
          this.trouble = `The database cannot be reached (${errorText(error)})`
          await delay(this.#runtime, retryMs)
          retryMs = Math.min(retryMs * 2, MAX_RETRY_MS)
        } else this.#narrow(error)
      }
      if (this.#queue.size > 0 && this.#isLongTurn) await this.#endTurn()
    }
    this.#running = false
  }

  /** Where the database need not be asked, nothing else ends the turn: sockets would neither be read nor written. */
  get #isLongTurn(): boolean {
    return this.#runtime.uptime() - this.#turnAt >= MAX_TURN_MS
  }

  async #endTurn(): Promise<void> {
    await endOfTurn(this.#runtime)
    this.#turnAt = this.#runtime.uptime()
  }

  /** A fault of a change: half as many are tried, down to the one that fails, which is skipped. */
  #narrow(error: unknown): void {
    const tried = this.#tried
    this.#maxChanges = Math.max(1, tried >> 1)
    if (tried > 1) return
    const change = this.#queue.dropFirstChange()
    if (change !== null) this.#parts.dispatcher.skip(change, error)
  }

  async #next(): Promise<void> {
    this.#tried = 0
    const first = this.#queue.at(0)
    if (first.kind === 'control') {
      this.#consume(1)
      return controlled(first.work)
    }
    const { dispatcher, window } = this.#parts
    const generation = this.#generation
    const { steps, batch } = await this.#gather()
    if (this.#isLongTurn) await this.#endTurn()
    if (batch.changes.length > 0 && generation === this.#generation) await dispatcher.dispatch(batch)
    if (this.#closed || generation !== this.#generation) return
    if (this.#isNotVisible(batch.changes[0])) this.#notVisible = new Set()
    this.#consume(steps.length)
    for (const step of steps) if (step.kind === 'progress') window.progressed(step.lsn)
    // Trims now: one transaction may exceed the window.
    window.trim()
  }

  async #gather(): Promise<{ readonly steps: readonly Step[]; readonly batch: Batch }> {
    const steps: Step[] = []
    const batch = new Batch()
    const { subscriptions, dispatcher } = this.#parts
    const generation = this.#generation
    dispatcher.begin()
    for (let at = 0; at < this.#queue.size; at++) {
      const step = this.#queue.at(at)
      if (step.kind === 'control') break
      if (step.kind === 'change') {
        if (batch.changes.length >= this.#maxChanges || batch.isFull) break
        const first = batch.changes[0] ?? step.change
        const isOther = step.change.transaction.xid !== first.transaction.xid
        if (isOther && (this.#isNotVisible(first) || this.#isNotVisible(step.change))) break
        if (!subscriptions.isPrepared(step.change.table)) {
          // No table is loaded in the middle of a batch: all its matches go by the same versions of the tables.
          if (batch.changes.length > 0) break
          await this.#prepare(step.change.table)
          await this.#endTurn()
        }
        if (this.#closed || generation !== this.#generation) break
        this.#tried++
        subscriptions.match(step.change, batch)
        batch.changes.push(step.change)
      }
      steps.push(step)
    }
    return { steps, batch }
  }

  async #prepare(table: Table): Promise<void> {
    try {
      await this.#parts.subscriptions.prepare(table)
    } catch (error) {
      if (isUnreachable(error)) throw error
      this.#parts.dispatcher.setAside(table, error)
    }
  }

  #isNotVisible(change: RowChange | undefined): boolean {
    return change !== undefined && this.#notVisible.has(change.transaction.xid)
  }

  #consume(count: number): void {
    this.progressed++
    this.#queue.remove(count)
    this.#resumeSource()
  }

  #resumeSource(): void {
    if (!this.#paused || this.#queue.bytes >= RESUME_BYTES) return
    this.#paused = false
    this.#parts.source.resume()
  }
}

/** The caller handles its own faults. The pipeline goes on. */
async function controlled(work: () => void | Promise<void>): Promise<void> {
  try {
    await work()
  } catch {}
}
