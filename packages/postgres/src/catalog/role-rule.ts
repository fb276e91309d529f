import type { CatalogRole } from './catalog-table.ts'

/**
 * SQL of whether tokens may not take a role of `pg_roles`: superusers, the server's own login, which may become others, and the
 * predefined roles, which read or run what no API role should. Postgres reserves the names `none` and `public`.
 */
export function forbiddenRoleSql(role: string): string {
  return `(${role}.rolsuper or ${role}.rolname operator(pg_catalog.=) session_user or pg_catalog.starts_with(${role}.rolname::pg_catalog.text, 'pg_'))`
}

/** SQL of an array: the role and all roles that it is a member of, by oid. `role` is an SQL expression of its name. */
export function groupsSql(role: string): string {
  return `array(with recursive groups (oid) as (
      select r.oid from pg_catalog.pg_roles r where r.rolname = ${role}
      union select m.roleid from groups g join pg_catalog.pg_auth_members m on m.member = g.oid)
    select g.oid from groups g)`
}

/**
 * SQL of the texts of rows that change whenever one of these roles gains or loses a membership or an attribute. `groups` is an SQL
 * expression: a role with all of its groups, of which it cannot get another one without that. They are rows of the catalog: what
 * `pg_has_role` says may come from a cache that is older than the snapshot.
 */
export function groupRowsSql(groups: string): readonly string[] {
  return [
    `select pg_catalog.concat_ws(':', r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolbypassrls) from pg_catalog.pg_roles r where r.oid = any(${groups})`,
    `select m.xmin::text || m::text from pg_catalog.pg_auth_members m where m.member = any(${groups})`,
  ]
}

/**
 * SQL of a text that changes whenever a row of these queries does, each of one column of texts. Rows come in any order: their hashes
 * are combined in a way that does not depend on it, and no two rows of a query are the same.
 */
export function versionSql(queries: readonly string[]): string {
  const rows = queries.map((query, part) => `select ${part}::pg_catalog.int8, q.text from (${query}) q (text)`).join(' union all ')
  return `(select pg_catalog.concat_ws(':', pg_catalog.count(*), pg_catalog.bit_xor(pg_catalog.hashtextextended(version.text, version.part)))
    from (${rows}) version (part, text))`
}

/** SQL of a text that changes whenever the role gains or loses a membership or an attribute, or one of its groups does. */
export function roleVersionSql(role: string): string {
  return `(select ${versionSql(groupRowsSql('held.oids'))} from (select ${groupsSql(role)}) held (oids))`
}

/** Why tokens may not take the role, for readers that may see its name; `null`: they may. */
export function roleRefusal({ name, exists, allowed }: Pick<CatalogRole, 'name' | 'exists' | 'allowed'>): string | null {
  if (!exists) return `There is no role ${JSON.stringify(name)} in the database`
  return allowed
    ? null
    : `Tokens may not take the role ${JSON.stringify(name)}: it is a superuser, or the server's own login, or not granted to that`
}
