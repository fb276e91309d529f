import type { JoinPosition } from '@tidewire/server'
import { sqlStateOf } from '../catalog/database-fault.ts'
import { logName, parseLsn } from '../replication/lsn.ts'

const CLUSTER = 'select system_identifier::text as cluster from pg_catalog.pg_control_system()'

const clusters = new WeakMap<object, string>()

/** The cluster that a session is connected to; asked once. `''`: this user may not ask. */
export async function clusterOf(session: object, query: (text: string) => Promise<unknown>): Promise<string> {
  let cluster = clusters.get(session)
  if (cluster !== undefined) return cluster
  try {
    const { rows } = (await query(CLUSTER)) as { readonly rows: readonly { readonly cluster: string }[] }
    cluster = rows[0]!.cluster
  } catch (error) {
    if (sqlStateOf(error) === null) throw error
    cluster = ''
  }
  clusters.set(session, cluster)
  return cluster
}

/** SQL of a position with its timeline, as `positionOf` reads it. NULL on a standby, which writes nothing. */
function positionSql(lsn: 'flush' | 'insert'): string {
  const at = `pg_catalog.pg_current_wal_${lsn}_lsn()`
  return `case when not pg_catalog.pg_is_in_recovery() then pg_catalog.substr(pg_catalog.pg_walfile_name(${at}), 1, 8) || ' ' || ${at}::text end`
}

/** Before it stands all that any node can have delivered: nodes read no more than what is flushed. A crash does not take it back. */
export const FLUSHED_POSITION: string = positionSql('flush')

/** Before it stands all that the snapshot of the same statement sees, whether or not it is flushed. */
export const END_POSITION: string = positionSql('insert')

export function positionOf(cluster: string, text: string | null): JoinPosition | null {
  const [timeline = '', at = ''] = text?.split(' ') ?? []
  const lsn = parseLsn(at)
  return lsn === null ? null : { log: logName(Number.parseInt(timeline, 16), cluster), lsn }
}

/** `END_POSITION` together with the snapshot of its statement, a text of `pg_snapshot`: `xmin:xmax:xip,…`. */
export function withSnapshot(end: JoinPosition, snapshot: string): JoinPosition {
  const [, xmax = '0', running = ''] = snapshot.split(':')
  const next = low32(xmax)
  const inProgress = new Set(running === '' ? [] : running.split(',').map(low32))
  return { ...end, saw: (xid) => ((xid - next) | 0) < 0 && !inProgress.has(xid) }
}

function low32(xid: string): number {
  return Number(BigInt(xid) & 0xffff_ffffn)
}
