import type { CatalogRole } from './catalog-table.ts'

/**
 * SQL of whether tokens may not take a role of `pg_roles`: superusers, the server's own login, which may become others, and the
 * predefined roles, which read or run what no API role should. Postgres reserves the names `none` and `public`.
 */
export function forbiddenRoleSql(role: string): string {
  return `(${role}.rolsuper or ${role}.rolname operator(pg_catalog.=) session_user or pg_catalog.starts_with(${role}.rolname::pg_catalog.text, 'pg_'))`
}

/**
 * SQL of a text that changes whenever the role gains or loses a membership or an attribute, or one of its groups does. `role` is
 * an SQL expression of its name. It reads rows of the catalog: what `pg_has_role` says may come from a cache that is older than the snapshot.
 */
export function roleVersionSql(role: string): string {
  return `(with recursive groups (oid) as (
      select r.oid from pg_catalog.pg_roles r where r.rolname = ${role}
      union select m.roleid from groups g join pg_catalog.pg_auth_members m on m.member = g.oid)
    select pg_catalog.concat_ws('|',
      (select pg_catalog.string_agg(pg_catalog.concat_ws(':', r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolbypassrls), ',' order by r.oid)
       from pg_catalog.pg_roles r where r.oid = any(held.oids)),
      (select pg_catalog.string_agg(m.xmin::text || m::text, ',' order by m.roleid, m.member, m.grantor)
       from pg_catalog.pg_auth_members m where m.member = any(held.oids)))
    from (select array(select g.oid from groups g)) held (oids))`
}

/** Why tokens may not take the role, for those who may see its name; `null`: they may. */
export function roleRefusal({ name, exists, allowed }: Pick<CatalogRole, 'name' | 'exists' | 'allowed'>): string | null {
  if (!exists) return `There is no role ${JSON.stringify(name)} in the database`
  return allowed
    ? null
    : `Tokens may not take the role ${JSON.stringify(name)}: it is a superuser, or the server's own login, or not granted to that`
}
