import { randomUUID } from 'node:crypto'
import type { StartOptions } from '@tidewire/server'
import { failed, reasonOf } from './failure.ts'

/** What a database adds to a server. */
export interface Database {
  readonly ports: Pick<StartOptions, 'authorizer' | 'messageStore' | 'changeFeed'>
  /** What was changed in the database to make it ready, by name. */
  readonly migrated: readonly string[]
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly url: string
  /** Sessions that may be open at once. */
  readonly poolSize: number
}

const CONNECT_TIMEOUT_MS = 5_000

/** Connects to a Postgres and brings what Tidewire keeps in it up to date. Throws a Failure. */
export async function openDatabase({ url, poolSize }: DatabaseOptions): Promise<Database> {
  const { databaseMessageStore, databasePool, migrate, policyAuthorizer } = await import('@tidewire/postgres')
  const pool = databasePool({ url, maxConnections: poolSize, connectTimeoutMs: CONNECT_TIMEOUT_MS })
  try {
    const { applied } = await pool.withSession(migrate)
    return {
      ports: {
        authorizer: policyAuthorizer({ withSession: (work) => pool.withSession(work), uuid: randomUUID }),
        messageStore: databaseMessageStore(pool),
      },
      migrated: applied,
      close: () => pool.close(),
    }
  } catch (error) {
    await pool.close()
    throw failed(
      `Cannot use the database ${placeOf(url)}: ${sentenceOf(error)}. Check its URL, and that the user may create schemas.`,
      error,
    )
  }
}

/** Host and name; a URL holds a password besides. */
export function placeOf(url: string): string {
  const { host, pathname } = new URL(url)
  return `${host}${pathname}`
}

function sentenceOf(error: unknown): string {
  const message = error instanceof Error ? error.message : ''
  return message === '' ? reasonOf(error) : message
}
