import { joinVersionSql } from '../../messages/authorization-sql.ts'
import type { JoinPolicies } from '../../messages/join-policies.ts'
import type { Queryable } from '../sessions/queryable.ts'
import { loadSecuredTables } from './feed-catalog.ts'
import { PolicyReader } from './policy-reader.ts'

const TIMEOUT_MS = 5_000

/** Reads what the SELECT policies of `realtime.messages` read, in one state of the catalog. */
export async function loadJoinPolicies(session: Queryable): Promise<JoinPolicies> {
  await session.query('begin isolation level repeatable read read only')
  await session.query(`set local statement_timeout = ${TIMEOUT_MS}`)
  const { rows } = await session.query(`select pg_catalog.to_regclass('realtime.messages')::oid::int8::float8 as oid`)
  const { oid } = rows[0] as { readonly oid: number | null }
  const reader = new PolicyReader(session, loadSecuredTables)
  const tables = oid === null ? [] : await loadSecuredTables(session, [oid], [])
  for (const table of tables) await reader.read(table)
  const { claims, reach } = reader
  const versions = await session.query(`select ${joinVersionSql('$1::pg_catalog.oid[]', '$2::pg_catalog.oid[]')} as version`, [
    reach.tables,
    reach.functions,
  ])
  await session.query('commit')
  const { version } = versions.rows[0] as { readonly version: string }
  return { claims: tables.length === 0 ? 'all' : claims, reach, version }
}
