import { groupRowsSql, groupsSql, versionSql } from '../../catalog/role-rule.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import type { PolicyReach } from '../../catalog/catalog-table.ts'

/** SQL expressions of arrays of oids. */
interface VersionParts {
  readonly tables: string
  readonly functions: string
  /** A role with all of its groups. */
  readonly groups: string
}

/**
 * SQL of a text that changes whenever something does that could show the role fewer rows, columns or tables. It reads rows
 * of the catalog: privileges by `has_table_privilege` and the like may come from a cache that is older than the statement's snapshot.
 * Each check evaluates it: every table that it reads costs some microseconds.
 */
export function policyVersionSql({ tables, functions, groups }: VersionParts): string {
  return versionSql([
    `select p.oid::text || ':' || p.xmin::text from pg_catalog.pg_policy p where p.polrelid = any(${tables})`,
    `select pg_catalog.concat_ws(':', c.oid, c.xmin, n.oid, n.xmin)
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = any(${tables})`,
    `select a.attrelid::text || ':' || a.attnum::text || ':' || a.xmin::text
     from pg_catalog.pg_attribute a where a.attrelid = any(${tables}) and a.attnum > 0`,
    `select pg_catalog.concat_ws(':', i.inhrelid, i.inhparent, i.xmin) from pg_catalog.pg_inherits i where i.inhrelid = any(${tables})`,
    `select f.oid::text || ':' || f.xmin::text from pg_catalog.pg_proc f where f.oid = any(${functions})`,
    ...groupRowsSql(groups),
  ])
}

export interface LoadedVersion {
  readonly version: string
  readonly groups: readonly number[]
}

/** Of each table its versions for these roles, all in one statement: to plan one costs more than to answer it. */
export async function loadPolicyVersions(
  session: Queryable,
  tables: readonly { readonly reach: PolicyReach; readonly roles: readonly string[] }[],
): Promise<LoadedVersion[][]> {
  const version = policyVersionSql({ tables: 'held.tables', functions: 'held.functions', groups: 'held.groups' })
  const asked = tables.flatMap(({ reach, roles }) => roles.map((role) => ({ reach, role })))
  const { rows } = await session.query(
    `select ${version} as version, pg_catalog.array_to_json(held.groups::pg_catalog.int8[]) as groups
     from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[])) with ordinality asked (tables, functions, role, n),
       lateral (select asked.tables::pg_catalog.oid[], asked.functions::pg_catalog.oid[], (select ${groupsSql('asked.role')})) held (tables, functions, groups)
     order by n`,
    [
      asked.map(({ reach }) => `{${reach.tables.join()}}`),
      asked.map(({ reach }) => `{${reach.functions.join()}}`),
      asked.map(({ role }) => role),
    ],
  )
  const versions = rows as LoadedVersion[]
  return tables.map(({ roles }) => versions.splice(0, roles.length))
}
