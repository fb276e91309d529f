import type { TimerHandle } from '@tidewire/protocol'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { FeedDatabase } from './feed-database.ts'

/** Longer than a check can take: its statements, the last of them and its rollback until the connection is given up, and the probe of the database. */
const CHECK_TIMEOUT_MS = 20_000
/** Statements on the catalog may take 30 s. */
const CATALOG_TIMEOUT_MS = 35_000

/** The database, whose every answer comes or fails within a time: a connection that hangs is a database that cannot be reached. */
export function bounded({ catalog, checks, isolated }: FeedDatabase, runtime: FeedRuntime): FeedDatabase {
  return {
    catalog: all(catalog, CATALOG_TIMEOUT_MS, runtime),
    checks: all(checks, CHECK_TIMEOUT_MS, runtime),
    isolated: all(isolated, CHECK_TIMEOUT_MS, runtime),
  }
}

type Port = Readonly<Record<string, (...values: never[]) => Promise<unknown>>>

function all<T extends object>(port: T, timeoutMs: number, runtime: FeedRuntime): T {
  const calls = Object.entries(port as unknown as Port).map(([name, call]) => {
    const deadline = new Deadline(name, timeoutMs, runtime)
    return [name, (...values: never[]) => deadline.within(call(...values))]
  })
  return Object.fromEntries(calls) as T
}

/** Calls that began in one turn and have no answer yet. */
interface Begun {
  readonly rejects: Set<(error: Error) => void>
  /** `null` while all are answered. */
  timer: TimerHandle | null
}

/** Calls of one turn share a timer: ten thousand subscribers ask at once. */
class Deadline {
  readonly #name: string
  readonly #timeoutMs: number
  readonly #runtime: FeedRuntime
  /** Calls that began in this turn. */
  #begun: Begun | null = null

  constructor(name: string, timeoutMs: number, runtime: FeedRuntime) {
    this.#name = name
    this.#timeoutMs = timeoutMs
    this.#runtime = runtime
  }

  within<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const begun = (this.#begun ??= this.#begin())
      begun.rejects.add(reject)
      begun.timer ??= this.#runtime.setTimer(() => this.#expire(begun), this.#timeoutMs)
      answer.then(
        (value) => {
          this.#answered(begun, reject)
          resolve(value)
        },
        (error: Error) => {
          this.#answered(begun, reject)
          reject(error)
        },
      )
    })
  }

  #begin(): Begun {
    this.#runtime.endOfTurn(() => (this.#begun = null))
    return { rejects: new Set(), timer: null }
  }

  #answered(begun: Begun, reject: (error: Error) => void): void {
    begun.rejects.delete(reject)
    if (begun.rejects.size > 0) return
    begun.timer?.cancel()
    begun.timer = null
  }

  #expire({ rejects }: Begun): void {
    const error = Object.assign(new Error(`no answer to ${this.#name} for ${this.#timeoutMs} ms`), { code: 'ETIMEDOUT' })
    for (const reject of rejects) reject(error)
  }
}
