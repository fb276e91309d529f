import type { Queryable } from '@tidewire/postgres'
import { failed } from '../failure.ts'

export const walBoundSql = "alter system set max_slot_wal_keep_size = '4GB'; select pg_reload_conf();"

/**
 * A permanent slot keeps the write-ahead log while no server reads from it: without a bound a server that stays away fills
 * the disk of the database. Answers a warning where that is allowed, `null` where there is a bound. Throws a Failure.
 */
export async function guardWal(session: Queryable, allowUnbounded: boolean): Promise<string | null> {
  const { rows } = await session.query("select setting from pg_catalog.pg_settings where name = 'max_slot_wal_keep_size'")
  if ((rows as { setting: string }[])[0]?.setting !== '-1') return null
  if (allowUnbounded) return 'max_slot_wal_keep_size is -1: while no server reads its changes, this database may fill its disk'
  throw failed(
    'max_slot_wal_keep_size of the database is -1: it would fill its disk while no server reads its changes. ' +
      `Set a bound: ${walBoundSql} Or accept it with TIDEWIRE_ALLOW_UNBOUNDED_WAL=true.`,
  )
}
