import { setTimeout as delay } from 'node:timers/promises'
import type { Queryable } from '@tidewire/postgres'

const RETRY_MS = 1_000

const ID = `
select s.system_identifier::text || '-' || d.oid::text as id
from pg_control_system() s, pg_database d where d.datname = current_database()`

/** The id where this user may not read the cluster's identifier. */
const WEAKER_ID = `select md5(d.datname) || '-' || d.oid::text as id from pg_database d where d.datname = current_database()`

const INSUFFICIENT_PRIVILEGE = '42501'

/**
 * Distinguishes this database from every other one: the identifier that its cluster got when it was made, and its own within it.
 * A database that does not answer is asked again until `stopped`. Then it rejects.
 */
export async function databaseId(session: Queryable, stopped: AbortSignal): Promise<string> {
  let query = ID
  for (;;) {
    try {
      const { rows } = await session.query(query)
      return (rows[0] as { readonly id: string }).id
    } catch (error) {
      if (query === ID && (error as { readonly code?: unknown }).code === INSUFFICIENT_PRIVILEGE) query = WEAKER_ID
      else await delay(RETRY_MS, undefined, { signal: stopped })
    }
  }
}
