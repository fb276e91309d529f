import { roleVersionSql } from '../../catalog/role-rule.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import type { PolicyReach } from '../../catalog/catalog-table.ts'

/** SQL expressions: arrays of oids, and a role's name as text. */
interface VersionParts {
  readonly tables: string
  readonly functions: string
  readonly role: string
}

/**
 * SQL of a text that changes whenever something does that could show the role fewer rows, columns or tables. It reads rows
 * of the catalog: privileges by `has_table_privilege` and the like may come from a cache that is older than the statement's snapshot.
 */
export function policyVersionSql({ tables, functions, role }: VersionParts): string {
  return `pg_catalog.md5(pg_catalog.concat_ws('|',
    (select pg_catalog.string_agg(p.oid::text || ':' || p.xmin::text, ',' order by p.oid) from pg_catalog.pg_policy p where p.polrelid = any(${tables})),
    (select pg_catalog.string_agg(pg_catalog.concat_ws(':', c.oid, c.relname, n.oid, n.xmin, c.relowner, c.relkind, c.relrowsecurity,
       c.relforcerowsecurity, c.relispartition, c.relreplident, c.relacl), ',' order by c.oid)
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = any(${tables})),
    (select pg_catalog.string_agg(a.attrelid::text || ':' || a.attnum::text || ':' || a.xmin::text, ',' order by a.attrelid, a.attnum)
     from pg_catalog.pg_attribute a where a.attrelid = any(${tables}) and a.attnum > 0),
    (select pg_catalog.string_agg(i.inhrelid::text || ':' || i.inhparent::text || ':' || i.xmin::text, ',' order by i.inhrelid, i.inhparent)
     from pg_catalog.pg_inherits i where i.inhrelid = any(${tables})),
    (select pg_catalog.string_agg(f.oid::text || ':' || f.xmin::text, ',' order by f.oid) from pg_catalog.pg_proc f where f.oid = any(${functions})),
    ${roleVersionSql(role)}))`
}

export async function loadPolicyVersions(session: Queryable, reach: PolicyReach, roles: readonly string[]): Promise<string[]> {
  const version = policyVersionSql({ tables: '$1::pg_catalog.oid[]', functions: '$2::pg_catalog.oid[]', role: 'asked.role' })
  const { rows } = await session.query(
    `select ${version} as version from pg_catalog.unnest($3::pg_catalog.text[]) with ordinality asked (role, n) order by n`,
    [reach.tables, reach.functions, roles],
  )
  return (rows as { version: string }[]).map((row) => row.version)
}
