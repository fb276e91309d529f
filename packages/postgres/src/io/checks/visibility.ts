import { setTimeout as delay } from 'node:timers/promises'
import { UnseenTransactions } from '../../decide/ask-again.ts'
import type { Queryable } from '../../catalog/queryable.ts'

/**
 * The stream may bring a transaction before it can be seen: Postgres writes the commit down first and ends the
 * transaction for other sessions afterwards, with a synchronous standby much later. A boolean of SQL that is true while
 * one of `xids` (32 bits each, as the stream names them) is not seen yet.
 */
export function unseenSql(xids: string): string {
  return `exists (
    select from pg_catalog.unnest(${xids}) x, pg_catalog.pg_current_snapshot() s
    where (x - (pg_catalog.pg_snapshot_xmax(s)::text::int8 % 4294967296) + 6442450944) % 4294967296 >= 2147483648
      or exists (select from pg_catalog.pg_snapshot_xip(s) p where (p::text::int8 % 4294967296) = x))`
}

/** Transactions that are to be seen. */
export interface Wanted {
  readonly xids: readonly number[]
  /** Else the caller soon learns which are not. */
  readonly waits: boolean
}

const MAX_WAIT_MS = 5_000
/** As a rule Postgres has ended a transaction for all sessions by then. */
const SHORT_WAIT_MS = 5
const LONGEST_STEP_MS = 50

/** Repeats `seen` until it answers true, more and more seldom. Rejects with {@link UnseenTransactions}; the caller tries again. */
export async function untilSeen(session: Queryable, { xids, waits }: Wanted, seen: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + (waits ? MAX_WAIT_MS : SHORT_WAIT_MS)
  for (let stepMs = 1; !(await seen()); stepMs = Math.min(stepMs * 2, LONGEST_STEP_MS)) {
    if (performance.now() > deadline) {
      const unseen = await unseenOf(session, xids)
      if (unseen.length > 0) throw new UnseenTransactions(unseen)
    }
    await delay(stepMs)
  }
}

/** Waits until all of these transactions can be seen by whatever is asked next. */
export function transactionsSeen(session: Queryable, wanted: Wanted): Promise<void> {
  return untilSeen(session, wanted, async () => {
    const { rows } = await session.query(`select ${unseenSql('$1::int8[]')} as unseen`, [wanted.xids])
    return !(rows as { unseen: boolean }[])[0]!.unseen
  })
}

async function unseenOf(session: Queryable, xids: readonly number[]): Promise<number[]> {
  const { rows } = await session.query(
    `select wanted.xid::float8 as xid from pg_catalog.unnest($1::int8[]) wanted (xid) where ${unseenSql('array[wanted.xid]')}`,
    [xids],
  )
  return (rows as { xid: number }[]).map(({ xid }) => xid)
}
