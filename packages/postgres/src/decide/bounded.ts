import type { FeedRuntime } from '../feed-runtime.ts'
import type { FeedDatabase } from './feed-database.ts'

/** Checks answer within the time of their statements, and what they wait for transactions to become visible. */
const CHECK_TIMEOUT_MS = 10_000
/** Statements on the catalog may take 30 s. */
const CATALOG_TIMEOUT_MS = 35_000

/** The database, whose every answer comes or fails within a time: a connection that hangs is a database that cannot be reached. */
export function bounded({ catalog, checks, apart }: FeedDatabase, runtime: FeedRuntime): FeedDatabase {
  return {
    catalog: all(catalog, CATALOG_TIMEOUT_MS, runtime),
    checks: all(checks, CHECK_TIMEOUT_MS, runtime),
    apart: all(apart, CHECK_TIMEOUT_MS, runtime),
  }
}

type Port = Readonly<Record<string, (...values: never[]) => Promise<unknown>>>

function all<T extends object>(port: T, timeoutMs: number, runtime: FeedRuntime): T {
  const calls = Object.entries(port as unknown as Port).map(([name, call]) => [
    name,
    (...values: never[]) => within(call(...values), name, timeoutMs, runtime),
  ])
  return Object.fromEntries(calls) as T
}

function within<T>(answer: Promise<T>, name: string, timeoutMs: number, runtime: FeedRuntime): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = runtime.setTimer(() => {
      reject(Object.assign(new Error(`no answer to ${name} for ${timeoutMs} ms`), { code: 'ETIMEDOUT' }))
    }, timeoutMs)
    answer.then(resolve, reject).finally(() => timer.cancel())
  })
}
