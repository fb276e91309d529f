import type { CatalogPort } from '../catalog/catalog-port.ts'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { FeedDatabase } from './feed-database.ts'

/** Checks answer within the time of their statements, and what they wait for transactions to become visible. */
const CHECK_TIMEOUT_MS = 10_000
/** Statements on the catalog may take 30 s. */
const CATALOG_TIMEOUT_MS = 35_000

/**
 * The database, whose every answer comes or fails within a time: a connection that hangs is a database that cannot be reached.
 */
export function bounded(database: FeedDatabase, runtime: FeedRuntime): FeedDatabase {
  const { apart, ...own } = database
  return { ...all(own, runtime), apart: all(apart, runtime) }
}

const CATALOG: ReadonlySet<string> = new Set<keyof CatalogPort>([
  'publishedTables',
  'unpublishedTable',
  'role',
  'tables',
  'castFilter',
  'insertLsn',
])

type Port = Readonly<Record<string, (...values: never[]) => Promise<unknown>>>

function all<T extends object>(port: T, runtime: FeedRuntime): T {
  const calls = Object.entries(port as unknown as Port).map(([name, call]) => {
    const timeoutMs = CATALOG.has(name) ? CATALOG_TIMEOUT_MS : CHECK_TIMEOUT_MS
    return [name, (...values: never[]) => within(call(...values), name, timeoutMs, runtime)]
  })
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
