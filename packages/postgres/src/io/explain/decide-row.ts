import type { Identity } from '@tidewire/server'
import pg from 'pg'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { textSql } from '../catalog/table-sql.ts'
import type { CatalogRole, CatalogTable } from '../../catalog/catalog-table.ts'
import { Identities, type CheckIdentity } from '../../catalog/identity.ts'
import { decide } from '../../decide/decide.ts'
import type { RowChecks } from '../../decide/feed-database.ts'
import { filterText } from '../../replication/change-row.ts'
import { Tuple } from '../../replication/pgoutput/tuple.ts'
import { describeTable } from '../../replication/table.ts'
import type { RowChange } from '../../replication/transaction-assembler.ts'
import type { Audience, Subscription } from '../../subscribe/audience.ts'
import { Batch } from '../../subscribe/batch.ts'
import { FeedChannel } from '../../subscribe/feed-channel.ts'
import { verdictOf, type PreparedFilter } from '../../subscribe/prepared-filter.ts'
import { TableSubscriptions } from '../../subscribe/table-subscriptions.ts'

export interface Row {
  readonly json: string
  /** By column, as the type writes it. */
  readonly texts: ReadonlyMap<string, string | null>
  /** The lower 32 bits of a transaction that every session can see. */
  readonly xid: number
}

/** Reads a row with the server's own login, which no policy restricts; no user's functions run. A sentence where there is none. */
export async function readRow(session: pg.ClientBase, table: CatalogTable, name: string, key: readonly string[]): Promise<Row | string> {
  const texts = table.columns.map((column, at) => `${textSql(`t.${pg.escapeIdentifier(column.name)}`)} as c${at}`)
  const on = table.primaryKey.map((column, at) => `${pg.escapeIdentifier(column.name)} = $${at + 1}::text::${column.typeSql}`)
  try {
    const { rows } = await session.query<Record<string, string | null> & { json: string; xid: string }>(
      `select pg_catalog.to_jsonb(t)::text as json, ${texts.join(', ')},
         ((pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::numeric - 1) % 4294967296)::text as xid
       from ${name} t where ${on.join(' and ')}`,
      [...key],
    )
    const row = rows[0]
    if (row === undefined) return 'There is no row with this key now. If it was deleted, its key was sent to all who asked for deletes.'
    const values = table.columns.map((column, at) => [column.name, row[`c${at}`] ?? null] as const)
    return { json: row.json, texts: new Map(values), xid: Number(row.xid) }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    return `The row could not be looked up: ${error.message}.`
  }
}

export interface RowToDecide {
  readonly table: CatalogTable
  readonly role: CatalogRole
  readonly row: Row
  readonly identity: Identity
  readonly filters: readonly (readonly PreparedFilter[])[]
}

export interface RowDecision {
  /** Some subscription gets the row. */
  readonly isGranted: boolean
  /** Whose policies decide; `null`: none do. */
  readonly identity: CheckIdentity | null
  /** The error of the policies, where they failed. */
  readonly fault: string | null
  /** By a subscription's filters, the one that keeps the row from it, and what Postgres said where that failed. */
  readonly heldBack: ReadonlyMap<readonly PreparedFilter[], { readonly filter: PreparedFilter; readonly fault: string | null }>
}

/** Decides about a change that writes the row as it is now, as the feed does: match → decide, on checks of the caller's choice. */
export async function decideRow({ table, role, row, identity, filters }: RowToDecide, checks: RowChecks): Promise<RowDecision> {
  const change = changeOf(table, row)
  const subscriptions = filters.map((each, order) => subscriptionOf(identity, table, each, order))
  const known = new TableSubscriptions(table.oid, new Identities())
  known.load(table, new Map([[role.name, role]]))
  for (const subscription of subscriptions) known.add(subscription)
  const batch = new Batch()
  known.match(change, batch)
  const decision = await decide(batch.pending, { database: checks, waits: true, mayBeStale: () => false })
  const filtered = new Map([...decision.filtered].map(([{ delivery }, filter]) => [delivery.audience, filter]))
  const messageOf = (isOf: (audience: Audience) => boolean): string | null =>
    decision.faults.find(({ deliveries }) => deliveries.some(({ audience }) => isOf(audience)))?.message ?? null
  const text = filterText(change, table)
  const heldBack = new Map<readonly PreparedFilter[], { readonly filter: PreparedFilter; readonly fault: string | null }>()
  for (const [order, each] of filters.entries()) {
    const { audience } = subscriptions[order]!
    const here = each.find((filter) => verdictOf(filter, change.table, text) === false)
    const asked = audience === null ? undefined : filtered.get(audience)
    if (here !== undefined) heldBack.set(each, { filter: here, fault: null })
    else if (asked !== undefined) heldBack.set(each, { filter: asked, fault: messageOf((of) => of === audience) })
  }
  return {
    isGranted: (decision.decided.get(change)?.size ?? 0) > 0,
    identity: subscriptions[0]?.audience?.identity ?? null,
    fault: messageOf((audience) => !filtered.has(audience)),
    heldBack,
  }
}

function subscriptionOf(identity: Identity, table: CatalogTable, filters: readonly PreparedFilter[], order: number): Subscription {
  const { oid, schema, name } = table
  const request = { subTopic: '', identity, positions: false, since: null, deletes: 'all', legacy: false, entries: [] } as const
  const channel = new FeedChannel(request, [], { change: () => {}, system: () => {} }, () => {})
  const entry = { id: order, event: '*', schema, table: name, filters: filters.map(({ filter }) => filter), select: null } as const
  return { channel, entry, order, oid, tableName: name, select: null, filters, columns: '', audience: null }
}

/** As the stream would bring it. */
function changeOf(table: CatalogTable, { texts, xid }: Row): RowChange {
  const columns = table.columns.filter(({ generated }) => !generated)
  const isKey = new Set(table.primaryKey)
  const described = describeTable(
    {
      ...{ kind: 'relation', oid: table.oid, schema: table.schema, table: table.name, replicaIdentity: 'default' },
      columns: columns.map((column) => ({ name: column.name, key: isKey.has(column), typeOid: column.typeOid })),
    },
    {
      ...{ rowSecurity: table.rowSecurity, columns: table.columns },
      primaryKey: table.primaryKey.map(({ number }) => number),
    },
    new Map(),
  )
  const newTuple = Tuple.of(columns.map(({ name }) => texts.get(name) ?? null))
  return { action: 'INSERT', table: described, transaction: { commitLsn: 0n, commitTime: 0n, xid }, seq: 0, newTuple, old: null }
}
