import type { Steps } from '@tidewire/protocol'
import type { Runtime } from '../ports.ts'

/** The most work in one turn of the event loop. */
const SHARE_MS = 8

/** Sockets are held up beyond this; only messages that were complete before may still add to it. */
const MAX_BYTES = 32 * 1024 * 1024

interface Job {
  readonly bytes: number
  /** Takes one step. Whether it was the last. */
  step(): boolean
}

/** Does large jobs in steps. Jobs take turns, and all together take one share of each turn of the event loop. */
export class StepQueue {
  readonly #runtime: Pick<Runtime, 'uptime' | 'endOfTurn'>
  readonly #jobs: Job[] = []
  #bytes = 0
  #waiting: (() => void)[] = []

  constructor(runtime: Pick<Runtime, 'uptime' | 'endOfTurn'>) {
    this.#runtime = runtime
  }

  /** Whether so many bytes wait that no more should be read. */
  get isFull(): boolean {
    return this.#bytes > MAX_BYTES
  }

  /** Calls back once there is room again. */
  whenRoom(callback: () => void): void {
    this.#waiting.push(callback)
  }

  /** Takes the steps in later turns; `done` is the last of them. `bytes`: the memory that the job keeps until then. */
  add<T>(steps: Steps<T>, bytes: number, done: (result: T) => void): void {
    let end: { readonly result: T } | null = null
    const step = (): boolean => {
      if (end !== null) {
        done(end.result)
        return true
      }
      const next = steps.next()
      if (next.done) end = { result: next.value }
      return false
    }
    this.#bytes += bytes
    this.#jobs.push({ bytes, step })
    if (this.#jobs.length === 1) this.#runtime.endOfTurn(() => this.#turn())
  }

  #turn(): void {
    const until = this.#runtime.uptime() + SHARE_MS
    try {
      do this.#step()
      while (this.#jobs.length > 0 && this.#runtime.uptime() < until)
    } finally {
      // Done after a step that throws, too: it must not hold up the jobs of others.
      if (this.#bytes <= MAX_BYTES / 2) this.#notifyWaiting()
      if (this.#jobs.length > 0) {
        this.#jobs.push(this.#jobs.shift()!)
        this.#runtime.endOfTurn(() => this.#turn())
      }
    }
  }

  /** A job whose step throws is over. */
  #step(): void {
    const job = this.#jobs[0]!
    let isOver = true
    try {
      isOver = job.step()
    } finally {
      if (isOver) {
        this.#jobs.shift()
        this.#bytes -= job.bytes
      }
    }
  }

  #notifyWaiting(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const callback of waiting) callback()
  }
}
