import { policyVersionSql } from '../../catalog/policy-version.ts'
import type { PolicyReach } from '../../catalog/catalog-table.ts'
import type { Queryable } from '../sessions/queryable.ts'

/** The versions for these roles, in their order. */
export async function loadPolicyVersions(session: Queryable, reach: PolicyReach, roles: readonly string[]): Promise<string[]> {
  const version = policyVersionSql({ tables: '$1::pg_catalog.oid[]', functions: '$2::pg_catalog.oid[]', role: 'asked.role' })
  const { rows } = await session.query(
    `select ${version} as version from pg_catalog.unnest($3::pg_catalog.text[]) with ordinality asked (role, n) order by n`,
    [reach.tables, reach.functions, roles],
  )
  return (rows as { version: string }[]).map((row) => row.version)
}
