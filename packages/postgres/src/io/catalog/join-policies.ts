import type { Queryable } from '../../catalog/queryable.ts'
import type { PolicyReach } from '../../catalog/catalog-table.ts'
import type { JoinPolicies } from '../../messages/join-policies.ts'
import { ONE_SNAPSHOT, rolledBack } from '../sessions/rolled-back.ts'
import { PolicyReader } from './policy-reader.ts'
import { policyVersionSql } from './policy-version.ts'
import { tableRows } from './table-rows.ts'

const TIMEOUT_MS = 5_000

/** Reads what the SELECT policies of `realtime.messages` read, in one state of the catalog; `null`: perhaps anything. */
export function loadJoinPolicies(session: Queryable): Promise<JoinPolicies | null> {
  return rolledBack(session, `${ONE_SNAPSHOT}; set local statement_timeout = ${TIMEOUT_MS}`, () => read(session))
}

async function read(session: Queryable): Promise<JoinPolicies | null> {
  const { rows } = await session.query(ROOT_SQL)
  const [root] = rows as readonly { readonly oid: number; readonly elsewhere: boolean }[]
  if (root === undefined || root.elsewhere) return null
  const reader = new PolicyReader(session)
  for (const table of await tableRows(session, [root.oid], [])) await reader.read(table)
  const { claims, reach } = reader
  if (claims === 'all') return null
  const versionSql = joinVersionSql(reach)
  const versions = await session.query(`select ${versionSql} as version`)
  const { version } = versions.rows[0] as { readonly version: string }
  return { claims, version, versionSql }
}

/**
 * Whether names in the body of a function may mean something else than what is built in: by the search path, by a cast of texts, or
 * by an operator for two values of one type, which goes before that for a key.
 */
const ELSEWHERE = `(pg_catalog.current_setting('search_path') operator(pg_catalog.~*) 'pg_catalog'
  or exists (select from pg_catalog.pg_cast where oid >= 16384 and castsource in (25, 114, 3802) and casttarget < 16384)
  or exists (select from pg_catalog.pg_operator where oid >= 16384 and oprname = '->>'))`

const ROOT = `from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass('realtime.messages') and c.relkind in ('r', 'p')`

const ROOT_SQL = `select c.oid::int8::float8 as oid, ${ELSEWHERE} as elsewhere ${ROOT}`

/** Questions address `realtime.messages` by name, so its oid is part of the version; policies refer to other tables by oid. */
function joinVersionSql({ tables, functions }: PolicyReach): string {
  const oids = (of: readonly number[]): string => `'{${of.join()}}'::pg_catalog.oid[]`
  return `pg_catalog.concat_ws('|', ${ELSEWHERE}, (select c.oid::text || ':' || c.xmin::text ${ROOT}),
    ${policyVersionSql({ tables: oids(tables), functions: oids(functions), groups: oids([]) })})`
}
