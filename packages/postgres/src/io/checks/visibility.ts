import { setTimeout as delay } from 'node:timers/promises'
import { NotYetVisible } from '../../decide/ask-again.ts'
import type { Queryable } from '../../catalog/queryable.ts'

/**
 * SQL that is true while one of `xids` (32 bits each, as the stream names them) is not visible to this session yet. The
 * stream may bring a transaction before it is visible: Postgres writes the commit to the log first and ends the
 * transaction for other sessions afterwards, with a synchronous standby much later. Transaction ids wrap at 2³²; half the circle
 * ahead counts as later.
 */
export function notVisibleSql(xids: string): string {
  return `exists (
    select from pg_catalog.unnest(${xids}) x, pg_catalog.pg_current_snapshot() s
    where (x - (pg_catalog.pg_snapshot_xmax(s)::text::int8 % 4294967296) + 6442450944) % 4294967296 >= 2147483648
      or exists (select from pg_catalog.pg_snapshot_xip(s) p where (p::text::int8 % 4294967296) = x))`
}

/** Transactions that a question waits for. */
export interface Wanted {
  readonly xids: readonly number[]
  /** False: rejects after a few milliseconds with those that are not visible. */
  readonly waits: boolean
}

const MAX_WAIT_MS = 5_000
/** As a rule Postgres has ended a transaction for all sessions by then. */
const SHORT_WAIT_MS = 5
const LONGEST_STEP_MS = 50

/** Repeats `areVisible` until it answers true, with growing pauses. Rejects with {@link NotYetVisible}; the caller tries again. */
export async function untilVisible(session: Queryable, { xids, waits }: Wanted, areVisible: () => Promise<boolean>): Promise<void> {
  let deadline: number | null = null
  for (let stepMs = 1; !(await areVisible()); stepMs = Math.min(stepMs * 2, LONGEST_STEP_MS)) {
    deadline ??= performance.now() + (waits ? MAX_WAIT_MS : SHORT_WAIT_MS)
    if (performance.now() > deadline) {
      const pending = await notVisibleOf(session, xids)
      if (pending.length > 0) throw new NotYetVisible(pending)
    }
    await delay(stepMs)
  }
}

/** Waits until all of these transactions are visible to statements that follow. */
export function transactionsVisible(session: Queryable, wanted: Wanted): Promise<void> {
  return untilVisible(session, wanted, async () => {
    const { rows } = await session.query(`select ${notVisibleSql('$1::int8[]')} as pending`, [wanted.xids])
    return !(rows as { pending: boolean }[])[0]!.pending
  })
}

async function notVisibleOf(session: Queryable, xids: readonly number[]): Promise<number[]> {
  const { rows } = await session.query(
    `select wanted.xid::float8 as xid from pg_catalog.unnest($1::int8[]) wanted (xid) where ${notVisibleSql('array[wanted.xid]')}`,
    [xids],
  )
  return (rows as { xid: number }[]).map(({ xid }) => xid)
}
