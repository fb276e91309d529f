import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { codeOf } from '../../catalog/database-fault.ts'
import { parseLsn, type Lsn } from '../../replication/lsn.ts'
import type { Queryable } from '../../catalog/queryable.ts'

/**
 * What a slot is for: the `anchor` is permanent and holds the window; a `copy` of it is read by one node and goes with its
 * session; a `temporary` slot is read by a server that keeps no window.
 */
export type SlotRole = 'anchor' | 'copy' | 'temporary'

/** A logical replication slot of this database. LSNs are `null` where Postgres has none. */
export interface Slot {
  readonly name: string
  readonly role: SlotRole
  /** The node that reads a copy; `null` for other slots. */
  readonly node: string | null
  readonly temporary: boolean
  /** Process that reads from it; `null`: it is not read. */
  readonly activePid: number | null
  /** Why it can no longer be read from; `null` when it can. */
  readonly lostBecause: string | null
  readonly confirmedLsn: Lsn | null
  /** WAL from here on is kept because of this slot. */
  readonly restartLsn: Lsn | null
  /** Bytes of WAL kept because of this slot. */
  readonly retainedBytes: number
  /** Bytes that may still be written before the slot is given up; `null` without a limit. */
  readonly safeBytes: number | null
  /** Transactions since the oldest one whose dead catalog rows vacuum keeps because of this slot. */
  readonly catalogAge: number
}

/**
 * An anchor is named `<base>_<8 hex digits>`: a new one has a new name, so that the name is part of the epoch. A temporary
 * slot that is no copy carries a letter more.
 */
export function newSlotName(base: string, temporary: boolean): string {
  return `${base}_${temporary ? 't' : ''}${randomBytes(4).toString('hex')}`
}

/** `<base>_n_<node>_<6 hex digits>`: shows the node, and two nodes of one name do not take each other's. */
export function newCopyName(base: string, node: string): string {
  return `${base}_n_${nodeInCopyName(base, node)}_${randomBytes(TAG_BYTES).toString('hex')}`
}

export function nodeInCopyName(base: string, node: string): string {
  const text = node.toLowerCase().replace(/[^a-z0-9]+/g, '_')
  return text.slice(0, MAX_NAME_BYTES - base.length - 2 * TAG_BYTES - 4)
}

const TAG_BYTES = 3

const MAX_NAME_BYTES = 63

/** Names may hold lower case letters, digits and underscores; Postgres cuts at 63 bytes. */
export function isSlotBase(base: string): boolean {
  return /^[a-z0-9_]{1,50}$/.test(base)
}

/** The pgoutput slots of this database that are named after `base`, temporary ones of other sessions included. */
export async function listSlots(session: Queryable, base: string): Promise<Slot[]> {
  const { rows } = await session.query(
    `select s.slot_name as name, s.temporary, s.active_pid as "activePid",
       coalesce(to_jsonb(s)->>'invalidation_reason', case s.wal_status when 'lost' then 'wal_removed' end) as "lostBecause",
       s.confirmed_flush_lsn::text as "confirmedLsn", s.restart_lsn::text as "restartLsn",
       coalesce(greatest(pg_catalog.pg_wal_lsn_diff(${CURRENT_LSN}, s.restart_lsn), 0), 0)::float8 as "retainedBytes",
       s.safe_wal_size::float8 as "safeBytes", coalesce(greatest(age(s.catalog_xmin), 0), 0) as "catalogAge"
     from pg_catalog.pg_replication_slots s
     where s.database = current_database() and s.plugin = 'pgoutput' and s.slot_name ~ $1
     order by s.slot_name`,
    [`^${base}_(t?[0-9a-f]{8}|n_[a-z0-9_]+_[0-9a-f]{6})$`],
  )
  return (rows as SlotRow[]).map(({ name, confirmedLsn, restartLsn, ...row }) => {
    const node = nodeOf(name, base)
    const role = node !== null ? 'copy' : row.temporary ? 'temporary' : 'anchor'
    return { name, role, node, ...row, confirmedLsn: parseLsn(confirmedLsn), restartLsn: parseLsn(restartLsn) }
  })
}

type SlotRow = Omit<Slot, 'role' | 'node' | 'confirmedLsn' | 'restartLsn'> & Readonly<Record<'confirmedLsn' | 'restartLsn', string | null>>

function nodeOf(name: string, base: string): string | null {
  const rest = name.slice(base.length)
  return rest.startsWith('_n_') ? rest.slice('_n_'.length, rest.lastIndexOf('_')) : null
}

export const CURRENT_LSN =
  'case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end'

export function currentLsn(session: Queryable): Promise<Lsn> {
  return lsnOf(session, `select (${CURRENT_LSN})::text as lsn`)
}

/** Makes a slot on a replication connection and answers where it begins. A temporary one lives as long as the connection. */
export function createSlot(replication: Queryable, name: string, temporary: boolean): Promise<Lsn> {
  // The older spelling of the options, which every version understands.
  return lsnOf(
    replication,
    `CREATE_REPLICATION_SLOT ${pg.escapeIdentifier(name)} ${temporary ? 'TEMPORARY ' : ''}LOGICAL pgoutput NOEXPORT_SNAPSHOT`,
  )
}

/**
 * Copies the anchor on a replication connection, and answers where the copy begins. The copy is gone with the connection,
 * and after any error on it: nothing that can fail may run between this and the start of the stream.
 */
export function copySlot(replication: Queryable, anchor: string, name: string): Promise<Lsn> {
  const slots = `${pg.escapeLiteral(anchor)}, ${pg.escapeLiteral(name)}`
  return lsnOf(replication, `select lsn::text from pg_catalog.pg_copy_logical_replication_slot(${slots}, true)`)
}

async function lsnOf(session: Queryable, command: string): Promise<Lsn> {
  const [row] = (await session.query(command)).rows as { lsn?: string | null; consistent_point?: string }[]
  return parseLsn(row?.lsn ?? row?.consistent_point ?? null) ?? 0n
}

/** Whether a slot was dropped; `active`: it is being read. */
export type SlotDrop = { readonly ok: true } | { readonly ok: false; readonly code: 'active' | 'missing'; readonly detail: string }

/** Drops a slot: what it kept is lost for its readers. Rejects only when the session fails. */
export async function dropSlot(session: Queryable, name: string): Promise<SlotDrop> {
  try {
    await session.query('select pg_catalog.pg_drop_replication_slot($1)', [name])
    return { ok: true }
  } catch (error) {
    const [code, detail] = [codeOf(error), (error as Error).message]
    if (code === '55006') return { ok: false, code: 'active', detail }
    if (code === '42704') return { ok: false, code: 'missing', detail }
    throw error
  }
}
