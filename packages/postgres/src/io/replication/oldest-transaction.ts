import type { Queryable } from '../../catalog/queryable.ts'

/**
 * A transaction that has written and is open: Postgres keeps its log from there on for every logical slot, wherever the slot's
 * readers are. What a login may not see is `null`.
 */
export interface OldestTransaction {
  /** `null`: a prepared transaction, which no process holds. */
  readonly pid: number | null
  /** Name of a prepared transaction. */
  readonly gid: string | null
  readonly database: string | null
  readonly openForMs: number | null
}

/** The oldest one of the whole server, other databases included; `null`: none is open. */
export async function oldestTransaction(session: Queryable): Promise<OldestTransaction | null> {
  const { rows } = await session.query(`
    select pid, gid, database, (extract(epoch from now() - since) * 1000)::float8 as "openForMs" from (
      select pid, null as gid, datname::text as database, xact_start as since, backend_xid as xid from pg_catalog.pg_stat_activity
      union all
      select null, gid, database::text, prepared, transaction from pg_catalog.pg_prepared_xacts
    ) open where xid is not null order by pg_catalog.age(xid) desc limit 1`)
  return (rows as OldestTransaction[])[0] ?? null
}

/** For people: `process 4711 of database app, open for 12 minutes`. */
export function transactionText({ pid, gid, database, openForMs }: OldestTransaction): string {
  const who = pid === null ? `the prepared transaction ${JSON.stringify(gid)}` : `process ${pid}`
  return `${who}${database === null ? '' : ` of database ${database}`}${openForMs === null ? '' : `, open for ${ageText(openForMs)}`}`
}

function ageText(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes >= 120) return `${Math.floor(minutes / 60)} hours`
  return minutes >= 2 ? `${minutes} minutes` : `${Math.max(0, Math.floor(ms / 1_000))} seconds`
}
