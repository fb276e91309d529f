import { setImmediate as endOfTurn } from 'node:timers/promises'
import type { UnpublishedTable } from '../../catalog/catalog-port.ts'
import { ownerColumn } from '../../catalog/owner-column.ts'
import type { PublishedTable, CatalogRole, CatalogTable, PolicyReach } from '../../catalog/catalog-table.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { serverVersion } from '../replication/publication.ts'
import { functionsIn, PolicyReader } from './policy-reader.ts'
import { publishedSql } from './published-sql.ts'
import { forbiddenRoleSql } from '../../catalog/role-rule.ts'
import { loadPolicyVersions, type LoadedVersion } from './policy-version.ts'
import { tableRows, type PolicyRow, type TableRow } from './table-rows.ts'

/** The tables whose changes clients may ask for. The feed's own table never is one. */
export async function loadPublishedTables(session: Queryable, publication: string): Promise<PublishedTable[]> {
  const { rows } = await session.query(
    `select c.oid::int8::text as oid, n.nspname as schema, c.relname as name
     from ${publishedSql('$1', (await serverVersion(session)) >= 150_000)} t
     join pg_catalog.pg_class c on c.oid = t.relid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where not (n.nspname = 'realtime' and c.relname ~ '^messages(_|$)')
     order by n.nspname, c.relname`,
    [[publication]],
  )
  return (rows as { oid: string; schema: string; name: string }[]).map((row) => ({ ...row, oid: Number(row.oid) }))
}

/** The table with exactly these names; `null` when there is none, or the role may not read it. */
export async function loadUnpublishedTable(
  session: Queryable,
  schema: string,
  table: string,
  role: string,
): Promise<UnpublishedTable['table']> {
  if (schema.includes('\0') || table.includes('\0') || role.includes('\0')) return null
  const { rows } = await session.query(
    `select format('%I.%I', n.nspname, c.relname) as name,
       exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary) as "hasPrimaryKey",
       exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'id' and not a.attisdropped) as "hasId"
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_roles r on r.rolname = $3
     where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p') and n.nspname <> 'realtime'
       and pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') and pg_catalog.has_any_column_privilege(r.oid, c.oid, 'SELECT')`,
    [schema, table, role],
  )
  return (rows as NonNullable<UnpublishedTable['table']>[])[0] ?? null
}

export async function loadRoles(session: Queryable, names: readonly string[]): Promise<CatalogRole[]> {
  const { rows } = await session.query(
    `select r.rolname::text as name, ${forbiddenRoleSql('r')} as forbidden,
       pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER') as member, r.rolsuper or r.rolbypassrls as bypasses
     from pg_catalog.pg_roles r where r.rolname = any($1)`,
    // No name of Postgres holds this character, and no text that it takes.
    [names.filter((name) => !name.includes('\0'))],
  )
  const found = new Map((rows as { name: string; forbidden: boolean; member: boolean; bypasses: boolean }[]).map((row) => [row.name, row]))
  return names.map((name) => {
    const row = found.get(name)
    return {
      name,
      exists: row !== undefined,
      allowed: row !== undefined && !row.forbidden && row.member,
      bypassesRowSecurity: row?.bypasses ?? false,
    }
  })
}

/** A schema may have thousands of tables, and their policies are analysed here. */
const TABLES_A_TURN = 50

/** Reads the tables, with what their policies may read. The session has to be in a repeatable-read transaction: one state for all. */
export async function loadCatalogTables(
  session: Queryable,
  oids: readonly number[],
  roles: readonly string[],
): Promise<Map<number, CatalogTable>> {
  const functionsOf = functionsIn(session)
  const read: { readonly row: TableRow; readonly reader: PolicyReader; readonly reach: PolicyReach; readonly roles: readonly string[] }[] =
    []
  for (const row of await tableRows(session, oids, roles)) {
    const reader = new PolicyReader(session, functionsOf)
    await reader.read(row)
    read.push({ row, reader, reach: reader.reach, roles: row.roles.map(({ name }) => name) })
    if (read.length % TABLES_A_TURN === 0) await endOfTurn()
  }
  const versions = await loadPolicyVersions(session, read)
  const tables = new Map<number, CatalogTable>()
  for (const [index, { row, reader }] of read.entries()) {
    tables.set(row.oid, described(row, reader, versions[index]!))
    if (tables.size % TABLES_A_TURN === 0) await endOfTurn()
  }
  return tables
}

function described(row: TableRow, reader: PolicyReader, versions: readonly LoadedVersion[]): CatalogTable {
  const { policies, ...catalogRow } = row
  const { claims, reach } = reader
  const columns = row.columns.map((column) => ({ ...column, rolesWithSelect: new Set(column.rolesWithSelect) }))
  const policiesFor = (role: string): PolicyRow[] => policies.filter((policy) => policy.roles.includes(role))
  const ownerColumns = new Map<string, string>()
  for (const { name } of row.rowSecurity ? row.roles : []) {
    const number = ownerColumn(policiesFor(name), (oid) => reader.isUid(oid))
    const column = columns.find((each) => each.number === number)
    if (column !== undefined) ownerColumns.set(name, column.name)
  }
  return {
    ...catalogRow,
    columns,
    primaryKey: row.primaryKey.flatMap((number) => columns.find((column) => column.number === number) ?? []),
    claims,
    ownerColumns,
    roles: new Map(
      row.roles.map(({ name, ...role }, index) => [name, { ...role, ...versions[index]!, scope: reader.scopeOf(policiesFor(name)) }]),
    ),
    reach,
  }
}
