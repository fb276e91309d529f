import { laterLsn, type Lsn } from './replication/lsn.ts'
import type { ChangeRing } from './subscribe/resume/change-ring.ts'
import type { FeedSource } from './feed-options.ts'
import type { WindowMarks } from './subscribe/resume/window-marks.ts'

/** How far changes are delivered, how far back they can be resumed, and what Postgres may forget. */
export class FeedWindow {
  readonly ring: ChangeRing
  readonly #marks: WindowMarks
  readonly #uptime: () => number
  #source: FeedSource | null = null
  /** Everything before it is delivered. */
  progress: Lsn = 0n
  /** Where the server was at the first connection; the window is here when that is delivered. `null`: no connection yet. */
  #fillsUntil: Lsn | null = null
  /** It has what a window of the past holds. */
  isFilled = false
  #waiters: { readonly lsn: Lsn; readonly done: () => void }[] = []
  #closed = false

  constructor(ring: ChangeRing, marks: WindowMarks, uptime: () => number) {
    this.ring = ring
    this.#marks = marks
    this.#uptime = uptime
  }

  attach(source: FeedSource): void {
    this.#source = source
  }

  connected(serverLsn: Lsn): void {
    this.#fillsUntil ??= serverLsn
  }

  /** A new epoch begins after `confirmedLsn`. */
  restart(confirmedLsn: Lsn): void {
    this.ring.restart({ commitLsn: confirmedLsn > 0n ? confirmedLsn - 1n : 0n, seq: 0 })
    this.#marks.restart()
    this.progress = confirmedLsn
  }

  committed(endLsn: Lsn): void {
    this.ring.commit(endLsn)
  }

  progressed(lsn: Lsn): void {
    this.progress = lsn
    this.#marks.note(lsn, this.#uptime())
    if (this.#fillsUntil !== null && lsn >= this.#fillsUntil) this.isFilled = true
    const waiters = this.#waiters
    this.#waiters = waiters.filter((waiter) => waiter.lsn > lsn)
    for (const waiter of waiters) if (waiter.lsn <= lsn) waiter.done()
  }

  /** Lets go of what lies behind the window: in memory, and in Postgres. */
  trim(): void {
    const source = this.#source
    if (source === null) return
    const trimmed = this.ring.trim(this.#uptime())
    const passed = this.#marks.trim(this.#uptime(), source.serverLsn)
    const endLsn = laterLsn(trimmed ?? 0n, passed ?? 0n)
    if (endLsn > 0n && source.epoch !== null) source.confirm(source.epoch, endLsn)
  }

  /** When everything before `lsn` was handed over and delivered. */
  processed(lsn: Lsn): Promise<void> {
    return this.progress >= lsn || this.#closed ? Promise.resolve() : new Promise((done) => this.#waiters.push({ lsn, done }))
  }

  close(): void {
    this.#closed = true
    for (const { done } of this.#waiters) done()
  }
}
