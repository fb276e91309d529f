import type { TimerHandle, TimerPort } from '@tidewire/protocol'
import type { RealtimeClientOptions } from '../options.ts'
import type { PageLifecycle, Runtime, WorkerTimers } from '../runtime.ts'
import { singleTimer } from '../timer.ts'

/** A timer that is this late was overslept. */
const OVERSLEPT_MS = 10_000

/** The time of a client and the life of its page. A worker keeps the time while the client is in use, if it wants one; else the platform does. */
export class Clock implements TimerPort {
  worker: WorkerTimers | null = null
  readonly #runtime: Runtime
  #unwatch: (() => void) | null = null
  readonly #given: RealtimeClientOptions
  readonly #failed: (cause: unknown) => void

  /** `failed` gets the reason why there is no worker, or no longer one; the platform keeps the time then. */
  constructor(runtime: Runtime, given: RealtimeClientOptions, failed: (cause: unknown) => void) {
    this.#runtime = runtime
    this.#given = given
    this.#failed = (cause) => {
      this.worker = null
      failed(cause)
    }
  }

  setTimer(run: () => void, afterMs: number): TimerHandle {
    return (this.worker ?? this.#runtime).setTimer(run, afterMs)
  }

  /**
   * One timer that is set again or cleared. After a sleep, messages may lie unread: `fired` gets whether
   * it was overslept, but not twice in a row, for the timers of a hidden page are late every time.
   */
  wakingTimer(fired: (overslept: boolean) => void): (afterMs: number | null) => void {
    let dueMs = 0
    let overslept = false
    const timer = singleTimer(this, () => {
      overslept = !overslept && this.#runtime.nowMs() - dueMs > OVERSLEPT_MS
      fired(overslept)
    })
    return (afterMs) => {
      dueMs = this.#runtime.nowMs() + (afterMs ?? 0)
      timer(afterMs)
    }
  }

  get isRunning(): boolean {
    return this.#unwatch !== null
  }

  /** The client is in use. `changed` is notified of events of the page and the network. */
  start(changed: (what: PageLifecycle) => void): void {
    this.#unwatch = this.#runtime.watch(changed)
    if (this.#given.worker !== true) return
    try {
      this.worker = this.#runtime.workerTimers({ url: this.#given.workerUrl, failed: this.#failed })
    } catch (cause) {
      this.#failed(cause)
    }
  }

  stop(): void {
    this.#unwatch?.()
    this.#unwatch = null
    this.worker?.stop()
    this.worker = null
  }
}
