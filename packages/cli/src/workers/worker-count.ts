import { availableParallelism } from 'node:os'

/** Free walsenders and slots of a database: each worker needs one of each. */
export interface DatabaseRoom {
  readonly freeSenders: number
  /** Less the anchor, which all workers copy. */
  readonly freeSlots: number
}

/** Left free for backups, `doctor`, and walsenders of workers that ended a moment ago. */
const SPARE = 2

export interface WorkerCount {
  readonly count: number
  /** Says why there are fewer workers than configured; `null`: there are as many. */
  readonly warning: string | null
}

/** How many workers to start. `room` is `null` without a database, or where it did not answer. */
export function workerCount(asked: number | 'auto', room: DatabaseRoom | null, cores: number = availableParallelism()): WorkerCount {
  const most = room === null ? Infinity : Math.max(1, Math.min(room.freeSenders, room.freeSlots) - (asked === 'auto' ? SPARE : 0))
  const wanted = asked === 'auto' ? cores : asked
  if (wanted <= most) return { count: wanted, warning: null }
  const scarce = room!.freeSenders <= room!.freeSlots ? 'max_wal_senders' : 'max_replication_slots'
  const left = Math.min(room!.freeSenders, room!.freeSlots)
  const warning = `${most} of ${wanted} workers are started: each needs a walsender and a replication slot of the database, which has ${left} left. Raise ${scarce}`
  return { count: most, warning }
}

/** Rejects when the database does not answer, or cannot be asked. */
export async function databaseRoom(url: string): Promise<DatabaseRoom> {
  const { databasePool } = await import('@tidewire/postgres')
  const pool = databasePool({ url, maxConnections: 1, connectTimeoutMs: 5_000, applicationName: 'tidewire start' })
  try {
    const { rows } = await pool.query(
      `select current_setting('max_wal_senders')::int - (select count(*)::int from pg_stat_replication) as "freeSenders",
         current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots)
           - (case when exists (select from pg_replication_slots where slot_name like 'tidewire%' and not temporary) then 0 else 1 end) as "freeSlots"`,
    )
    return rows[0] as DatabaseRoom
  } finally {
    await pool.close()
  }
}
