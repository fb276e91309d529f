import type { FeedRuntime } from '../../feed-runtime.ts'
import { laterLsn, type Lsn } from '../../replication/lsn.ts'
import type { LogPosition } from '../../replication/position.ts'
import type { ChangeSource } from '../../replication/source/change-source-api.ts'
import { ChangeRing, type RingLimits } from './change-ring.ts'
import { WindowMarks, type WindowLimits } from './window-marks.ts'

interface Waiter {
  readonly lsn: Lsn
  readonly done: () => void
}

/** How far changes are delivered, how far back they can be resumed, and what Postgres may forget. */
export class FeedWindow {
  readonly ring: ChangeRing
  readonly #marks: WindowMarks
  readonly #runtime: Pick<FeedRuntime, 'uptime'>
  #source: Pick<ChangeSource, 'serverLsn' | 'confirm'> | null = null
  /** The epoch of what is delivered now; the stream may be in the next one already. `null` before the first. */
  epoch: string | null = null
  /** Everything before it is delivered. */
  progress: Lsn = 0n
  /** Where the server was when the epoch began. Once that is delivered, the window is filled. `null`: no epoch yet. */
  #fillsUntil: Lsn | null = null
  /** Whether the ring holds a whole window of the past. */
  isFilled = false
  #waiters: Waiter[] = []
  #closed = false

  constructor(limits: RingLimits & WindowLimits, runtime: Pick<FeedRuntime, 'uptime'>) {
    this.ring = new ChangeRing(limits)
    this.#marks = new WindowMarks(limits)
    this.#runtime = runtime
  }

  attach(source: Pick<ChangeSource, 'serverLsn' | 'confirm'>): void {
    this.#source = source
  }

  /** A new epoch begins after `confirmedLsn`, and the server is at `serverLsn`. Answers the position that everything of it comes after. */
  restart(epoch: string, confirmedLsn: Lsn, serverLsn: Lsn): LogPosition {
    const start = { commitLsn: confirmedLsn > 0n ? confirmedLsn - 1n : 0n, seq: 0 }
    this.epoch = epoch
    this.ring.restart(start)
    this.#marks.restart()
    this.progress = confirmedLsn
    this.#fillsUntil = serverLsn
    // In another log, what they wait for may never come.
    this.#release(() => true)
    return start
  }

  progressed(lsn: Lsn): void {
    this.progress = lsn
    this.#marks.note(lsn, this.#runtime.uptime())
    if (this.#fillsUntil !== null && lsn >= this.#fillsUntil) this.isFilled = true
    this.#release((waiter) => waiter.lsn <= lsn)
  }

  /** Lets go of what lies behind the window: in memory, and in Postgres. */
  trim(): void {
    const source = this.#source
    if (source === null) return
    const nowMs = this.#runtime.uptime()
    this.ring.trim(nowMs)
    const passed = this.#marks.trim(nowMs, source.serverLsn)
    if (this.epoch !== null) source.confirm(this.epoch, laterLsn(this.ring.start?.commitLsn ?? 0n, passed ?? 0n))
  }

  /** Settles once there is an epoch and everything before `lsn` is delivered. A new epoch and the close settle it, too. */
  processed(lsn: Lsn): Promise<void> {
    const isOver = (this.epoch !== null && this.progress >= lsn) || this.#closed
    return isOver ? Promise.resolve() : new Promise((done) => this.#waiters.push({ lsn, done }))
  }

  close(): void {
    this.#closed = true
    this.#release(() => true)
  }

  #release(isOver: (waiter: Waiter) => boolean): void {
    const waiters = this.#waiters
    this.#waiters = waiters.filter((waiter) => !isOver(waiter))
    for (const waiter of waiters) if (isOver(waiter)) waiter.done()
  }
}
