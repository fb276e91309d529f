/**
 * SQL of whether tokens may not take a role of `pg_roles`: superusers, the server's own login, which may become others, and the
 * predefined roles, which read or run what no API role should. Postgres reserves the names `none` and `public`.
 */
export function forbiddenRoleSql(role: string): string {
  return `(${role}.rolsuper or ${role}.rolname operator(pg_catalog.=) session_user or pg_catalog.starts_with(${role}.rolname::pg_catalog.text, 'pg_'))`
}
