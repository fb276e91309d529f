import type { CatalogRole } from './catalog-table.ts'

/**
 * SQL of whether tokens may not take a role of `pg_roles`: superusers, the server's own login, which may become others, and the
 * predefined roles, which read or run what no API role should. Postgres reserves the names `none` and `public`.
 */
export function forbiddenRoleSql(role: string): string {
  return `(${role}.rolsuper or ${role}.rolname operator(pg_catalog.=) session_user or pg_catalog.starts_with(${role}.rolname::pg_catalog.text, 'pg_'))`
}

/** Why tokens may not take the role, for those who may see its name; `null`: they may. */
export function roleRefusal({ name, exists, allowed }: Pick<CatalogRole, 'name' | 'exists' | 'allowed'>): string | null {
  if (!exists) return `There is no role ${JSON.stringify(name)} in the database`
  return allowed
    ? null
    : `Tokens may not take the role ${JSON.stringify(name)}: it is a superuser, or the server's own login, or not granted to that`
}
