import pg from 'pg'
import { codeOf } from '../../catalog/database-fault.ts'
import { formatLsn, laterLsn, parseLsn } from '../../replication/lsn.ts'
import { ReplicationError } from '../../replication/replication-fault.ts'
import type { EpochReason } from '../../replication/replication-port.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { createSlot, CURRENT_LSN, dropSlot, listSlots, newSlotName, type Slot } from './slot.ts'

/** The permanent slot of a database, which holds the window for all nodes. */
export interface Anchor {
  readonly name: string
  readonly reason: EpochReason
}

export interface AnchorRequest {
  readonly slotBase: string
  /** The anchor that will not do: its publications are not those of today. */
  readonly rejected: string | null
  readonly onSlow: (sentence: string) => void
}

const SLOW_MS = 5_000
const HORIZON_TIMEOUT_MS = 1_000

/**
 * Finds the anchor. Where there is none that can be read, or it is rejected, one node makes it and the others find that
 * one: the lock is the one under which servers of version 0.1 read their slot, so they take part. Rejects with
 * the fault `slot-held` while another server has the lock or reads the slot that has to go.
 */
export async function takeAnchor(catalog: Queryable, stream: Queryable, request: AnchorRequest): Promise<Anchor> {
  const found = choose(await listAnchors(catalog, request.slotBase))
  if (found !== null && found.name !== request.rejected) return { name: found.name, reason: 'found' }
  return withLock(catalog, request.slotBase, async () => {
    const anchors = await listAnchors(catalog, request.slotBase)
    const keep = choose(anchors.filter(({ name }) => name !== request.rejected))
    // Every other slot of that name would keep WAL for ever.
    for (const { name } of anchors) if (name !== keep?.name) await drop(catalog, name)
    if (keep !== null) return { name: keep.name, reason: 'found' }
    const name = newSlotName(request.slotBase, false)
    const timer = setTimeout(
      () => request.onSlow(`Creating the replication slot ${name} waits for transactions that are open in the database`),
      SLOW_MS,
    )
    try {
      await createSlot(stream, name, false)
      await raiseHorizon(catalog, name)
    } finally {
      clearTimeout(timer)
    }
    const reason = anchors.length === 0 ? 'created' : anchors.some(isUsable) ? 'publication-changed' : 'lost'
    return { name, reason }
  })
}

async function listAnchors(session: Queryable, slotBase: string): Promise<Slot[]> {
  return (await listSlots(session, slotBase)).filter(({ role }) => role === 'anchor')
}

/** The same one on every node. One that a server of version 0.1 reads cannot be dropped, so it comes first. */
function choose(anchors: readonly Slot[]): Slot | null {
  const usable = anchors.filter(isUsable)
  return usable.find(({ activePid }) => activePid !== null) ?? usable[0] ?? null
}

function isUsable({ lostBecause, confirmedLsn }: Slot): boolean {
  return lostBecause === null && confirmedLsn !== null
}

export function slotHeld(message: string): ReplicationError {
  return new ReplicationError({ kind: 'slot-held', message })
}

async function drop(session: Queryable, name: string): Promise<void> {
  const dropped = await dropSlot(session, name)
  if (!dropped.ok && dropped.code === 'active') throw slotHeld(`the slot ${name} has to be replaced, and an older server reads it`)
}

/**
 * A new slot keeps dead catalog rows back to the oldest one of any other slot, and its `catalog_xmin` says so. What
 * publications were given before it would look as if it belonged to the window. Creating another slot makes Postgres log
 * which transactions run, and advancing past that record moves `catalog_xmin` to the oldest of those.
 */
async function raiseHorizon(catalog: Queryable, anchor: string): Promise<void> {
  const probe = pg.escapeLiteral(`${anchor}_probe`)
  try {
    // The record is written at once; what is not waited for is the end of transactions that are open.
    await catalog.query(`set statement_timeout = ${HORIZON_TIMEOUT_MS}`)
    await catalog.query(`select pg_catalog.pg_create_logical_replication_slot(${probe}, 'pgoutput', true)`).catch(() => {})
    await catalog.query(`select pg_catalog.pg_replication_slot_advance(${pg.escapeLiteral(anchor)}, pg_catalog.pg_current_wal_lsn())`)
  } catch {
    // A gap may be reported that is none, if a node starts before the anchor has moved.
  } finally {
    await catalog.query('set statement_timeout = 0')
    await dropSlot(catalog, `${anchor}_probe`)
  }
}

async function withLock<T>(session: Queryable, slotBase: string, work: () => Promise<T>): Promise<T> {
  const key = `pg_catalog.hashtext('tidewire feed'), pg_catalog.hashtext(${pg.escapeLiteral(slotBase)})`
  const { rows } = await session.query(`select pg_catalog.pg_try_advisory_lock(${key}) as locked`)
  if ((rows as { locked: boolean }[])[0]?.locked !== true) throw slotHeld('another server prepares the anchor slot of this database')
  try {
    return await work()
  } finally {
    await session.query(`select pg_catalog.pg_advisory_unlock(${key})`).catch(() => {})
  }
}

/** What became of an attempt to advance the anchor. `held`: another process reads it. `slow`: it took longer than the limit. */
export type AnchorAdvance = 'advanced' | 'nothing-to-do' | 'busy' | 'held' | 'slow'

export interface AdvanceRequest {
  readonly anchor: string
  readonly slotBase: string
  /** Copies that are further behind than this do not hold the anchor back. */
  readonly windowBytes: number
}

/** Less is not worth a session. */
const MIN_ADVANCE_BYTES = 65_536n
/** Postgres reads again from where the oldest open transaction began, about 300 MB a second. */
const ADVANCE_TIMEOUT_MS = 30_000

/**
 * Advances the anchor to the lowest position that a node still needs. Any node may do it, one at a time: `session` is one
 * of its own, because a call can take long. Rejects with an error of `pg`.
 */
export async function advanceAnchor(session: Queryable, request: AdvanceRequest): Promise<AnchorAdvance> {
  await session.query(`begin; set local statement_timeout = ${ADVANCE_TIMEOUT_MS}`)
  try {
    const key = `pg_catalog.hashtext('tidewire anchor'), pg_catalog.hashtext(${pg.escapeLiteral(request.slotBase)})`
    const { rows } = await session.query(`select pg_catalog.pg_try_advisory_xact_lock(${key}) as locked`)
    if ((rows as { locked: boolean }[])[0]?.locked !== true) return 'busy'
    const target = await anchorTarget(session, request)
    if (target === null) return 'nothing-to-do'
    await session.query('select pg_catalog.pg_replication_slot_advance($1, $2::text::pg_lsn)', [request.anchor, target])
    return 'advanced'
  } catch (error) {
    const code = codeOf(error)
    if (code === '55006') return 'held'
    if (code === '57014') return 'slow'
    // It was replaced or advanced meanwhile.
    if (code === '42704' || code === '55000') return 'nothing-to-do'
    throw error
  } finally {
    await session.query('rollback').catch(() => {})
  }
}

/** Bytes of log that are kept though no node needs them: a transaction is open that began there. */
export async function heldBytes(session: Queryable, anchor: string): Promise<number> {
  const { rows } = await session.query(
    'select pg_catalog.pg_wal_lsn_diff(confirmed_flush_lsn, restart_lsn)::float8 as held from pg_catalog.pg_replication_slots where slot_name = $1',
    [anchor],
  )
  return (rows as { held: number | null }[])[0]?.held ?? 0
}

/** Where the anchor has to go, as Postgres writes it; `null`: it is there, or no node says. */
export async function anchorTarget(session: Queryable, { anchor, slotBase, windowBytes }: AdvanceRequest): Promise<string | null> {
  const { rows } = await session.query(
    `select a.confirmed_flush_lsn::text as confirmed, (${CURRENT_LSN})::text as written,
       (select min(c.confirmed_flush_lsn) from pg_catalog.pg_replication_slots c
        where c.database = current_database() and c.temporary and c.active_pid is not null and c.slot_name ~ $2)::text as needed
     from pg_catalog.pg_replication_slots a where a.slot_name = $1`,
    [anchor, `^${slotBase}_n_[a-z0-9_]+_[0-9a-f]{6}$`],
  )
  const [row] = rows as { confirmed: string | null; written: string; needed: string | null }[]
  if (row === undefined) return null
  const [confirmed, written, needed] = [parseLsn(row.confirmed), parseLsn(row.written), parseLsn(row.needed)]
  if (confirmed === null || written === null || needed === null) return null
  const target = laterLsn(needed, written - BigInt(Math.trunc(windowBytes)))
  return target - confirmed < MIN_ADVANCE_BYTES ? null : formatLsn(target)
}
