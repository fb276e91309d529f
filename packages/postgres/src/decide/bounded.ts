import type { FeedRuntime } from '../feed-runtime.ts'
import type { FeedDatabase } from './feed-database.ts'

/** Longer than a check can take: its statements, the last of them and its rollback until the connection is given up, and the probe of the database. */
const CHECK_TIMEOUT_MS = 20_000
/** Statements on the catalog may take 30 s. */
const CATALOG_TIMEOUT_MS = 35_000

/** Calls without an answer are looked for this often. */
const SWEEP_MS = 1_000

/** The database, whose every answer comes or fails within a time: a connection that hangs is a database that cannot be reached. */
export function bounded({ catalog, checks, isolated }: FeedDatabase, runtime: FeedRuntime): FeedDatabase {
  const deadlines = new Deadlines(runtime)
  return {
    catalog: deadlines.of(catalog, CATALOG_TIMEOUT_MS),
    checks: deadlines.of(checks, CHECK_TIMEOUT_MS),
    isolated: deadlines.of(isolated, CHECK_TIMEOUT_MS),
  }
}

type Port = Readonly<Record<string, (...values: never[]) => Promise<unknown>>>

interface Call {
  readonly name: string
  readonly timeoutMs: number
  readonly begunAt: number
  readonly reject: (error: Error) => void
}

/** One timer for all calls, and none that is set for each: ten thousand subscribers ask at once, and every change asks. */
class Deadlines {
  readonly #runtime: FeedRuntime
  readonly #unanswered = new Set<Call>()
  #sweeps = false

  constructor(runtime: FeedRuntime) {
    this.#runtime = runtime
  }

  /** The port, whose answers fail after `timeoutMs`, or up to a second later. */
  of<T extends object>(port: T, timeoutMs: number): T {
    const calls = Object.entries(port as unknown as Port).map(([name, call]) => [
      name,
      (...values: never[]) => this.#within(name, timeoutMs, call(...values)),
    ])
    return Object.fromEntries(calls) as T
  }

  #within<T>(name: string, timeoutMs: number, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const call: Call = { name, timeoutMs, begunAt: this.#runtime.uptime(), reject }
      this.#unanswered.add(call)
      if (!this.#sweeps) this.#sweepLater()
      answer.then(
        (value) => {
          this.#unanswered.delete(call)
          resolve(value)
        },
        (error: Error) => {
          this.#unanswered.delete(call)
          reject(error)
        },
      )
    })
  }

  #sweepLater(): void {
    this.#sweeps = true
    this.#runtime.setTimer(() => {
      this.#sweeps = false
      this.#sweep(this.#runtime.uptime())
      if (this.#unanswered.size > 0) this.#sweepLater()
    }, SWEEP_MS)
  }

  #sweep(now: number): void {
    for (const call of this.#unanswered) {
      const { name, timeoutMs, begunAt, reject } = call
      if (now - begunAt < timeoutMs) continue
      this.#unanswered.delete(call)
      reject(Object.assign(new Error(`no answer to ${name} for ${timeoutMs} ms`), { code: 'ETIMEDOUT' }))
    }
  }
}
