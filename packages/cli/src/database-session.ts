import type { DatabasePool } from '@tidewire/postgres'
import { placeOf } from './database.ts'
import { Failure, failed, misused, reasonOf } from './failure.ts'
import { showProgress } from './progress-bar.ts'
import { findServer } from './project/running-server.ts'
import { postgresUrl } from './values.ts'

const CONNECT_TIMEOUT_MS = 5_000

/** The option that names the Postgres of a command. */
export const databaseArgs = {
  db: {
    type: 'string',
    description: "The Postgres. Default: DATABASE_URL, else the one of this project's `tidewire dev`",
    valueHint: 'url',
  },
} as const

/** The URL of the option, or of the project's dev server. Throws a Failure when there is none. */
export function findDatabaseUrl(given: string | undefined, folder: string, environment: NodeJS.ProcessEnv): string {
  const fromEnvironment = environment['DATABASE_URL'] === '' ? undefined : environment['DATABASE_URL']
  const url = given ?? fromEnvironment ?? findServer(folder)?.server.databaseUrl
  if (url === undefined) throw failed('No dev server with a database runs in this project: start one with `tidewire dev`, or give --db.')
  if (postgresUrl(url) === undefined)
    throw misused(`${given === undefined ? 'DATABASE_URL' : '--db'} must be a URL such as postgres://user:password@host:5432/name.`)
  return url
}

/** Runs `work` on a session that ends with it. Throws a Failure. */
export async function withDatabase<Result>(url: string, work: (session: DatabasePool) => Promise<Result>): Promise<Result> {
  const { databasePool } = await import('@tidewire/postgres')
  const pool = databasePool({ url, maxConnections: 1, connectTimeoutMs: CONNECT_TIMEOUT_MS, applicationName: 'tidewire command' })
  try {
    return await showProgress('Asking the database', () => work(pool))
  } catch (error) {
    if (error instanceof Failure) throw error
    const message = error instanceof Error && error.message !== '' ? error.message : reasonOf(error)
    throw failed(`Cannot use the database ${placeOf(url)}: ${message}. Check its URL, and that it runs.`, error)
  } finally {
    await pool.close()
  }
}
