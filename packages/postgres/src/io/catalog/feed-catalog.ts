import type { UnpublishedTable } from '../../catalog/catalog-port.ts'
import { ownerColumn, type PolicyTree } from '../../catalog/owner-column.ts'
import type { CatalogColumn, PublishedTable, CatalogRole, CatalogTable, TableRole } from '../../catalog/catalog-table.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { PolicyReader, type SecuredTable } from './policy-reader.ts'
import { forbiddenRoleSql } from '../../catalog/role-rule.ts'
import { loadPolicyVersions } from './policy-version.ts'

/** The tables whose changes clients may ask for. The feed's own table never is one. */
export async function loadPublishedTables(session: Queryable, publication: string): Promise<PublishedTable[]> {
  const { rows } = await session.query(
    `select c.oid::int8::text as oid, n.nspname as schema, c.relname as name
     from pg_catalog.pg_publication_tables t
     join pg_catalog.pg_namespace n on n.nspname = t.schemaname
     join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.tablename
     where t.pubname = $1 and not (n.nspname = 'realtime' and c.relname ~ '^messages(_|$)')
     order by n.nspname, c.relname`,
    [publication],
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

/** Of the roles with these names, in their order. */
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

/** A table as the query gives it. Sets come as lists, and the primary key as `attnum`s. */
interface TableRow extends Pick<CatalogTable, 'oid' | 'schema' | 'name' | 'rowSecurity' | 'partitioned' | 'replicaIdentityFull'> {
  readonly columns: readonly (Omit<CatalogColumn, 'rolesWithSelect'> & { readonly rolesWithSelect: readonly string[] })[]
  readonly primaryKey: readonly number[]
  readonly policies: readonly PolicyRow[]
  readonly roles: readonly (Omit<TableRole, 'version' | 'scope'> & { readonly name: string })[]
}

interface PolicyRow extends PolicyTree {
  /** The roles among those asked for that it is for. */
  readonly roles: readonly string[]
}

/** Whether the role `asked` has a privilege by this access control list, as the rows of the snapshot say. */
function hasPrivilege(acl: string, privilege: 'SELECT' | 'USAGE'): string {
  return `(asked.rolsuper or asked.oid in (select role from reads_all) or exists (
    select from pg_catalog.aclexplode(${acl}) a where a.privilege_type = '${privilege}'
      and (a.grantee = 0 or exists (select from groups g where g.role = asked.oid and g.oid = a.grantee))))`
}

const READS_TABLE = hasPrivilege(`coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))`, 'SELECT')

/**
 * Privileges come from the catalog's rows and not from `has_table_privilege`, whose caches may be older than the snapshot
 * in which the policy version is read. 6171 is pg_database_owner, 6181 pg_read_all_data, 2 the access method heap.
 */
const TABLES_SQL = `
with recursive asked as (select r.oid, r.rolname as name, r.rolsuper, r.rolbypassrls from pg_catalog.pg_roles r where r.rolname = any($2)),
memberships (member, role, inherited) as (
  select m.member, m.roleid, coalesce((pg_catalog.to_jsonb(m) ->> 'inherit_option')::bool, r.rolinherit)
  from pg_catalog.pg_auth_members m join pg_catalog.pg_roles r on r.oid = m.member
  union all select d.datdba, 6171::oid, true from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
),
groups (role, oid) as (
  select oid, oid from asked
  union select g.role, m.role from groups g join memberships m on m.member = g.oid and m.inherited
),
reads_all as (select role from groups where oid = 6181)
select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, c.relrowsecurity as "rowSecurity",
  c.relkind = 'p' as partitioned, c.relreplident = 'f' as "replicaIdentityFull",
  (select coalesce(json_agg(json_build_object(
    'name', name, 'superuser', rolsuper, 'bypassesRowSecurity', rolsuper or rolbypassrls,
    'usesSchema', ${hasPrivilege(`coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))`, 'USAGE')},
    'readsCtid', c.relkind = 'r' and c.relam = 2 and ${READS_TABLE})), '[]') from asked) as roles,
  (
    select coalesce(json_agg(json_build_object(
      'name', a.attname, 'number', a.attnum, 'typeOid', a.atttypid::int8,
      'baseOid', b.oid::int8, 'typeName', t.typname, 'typeSql', format('%I.%I', tn.nspname, t.typname),
      'category', b.typcategory, 'isEnum', b.typtype = 'e', 'generated', a.attgenerated <> '', 'deterministic', coalesce(l.collisdeterministic, true),
      'collation', case when l.oid is not null and l.collname <> 'default' then format('%I.%I', ln.nspname, l.collname) end,
      'rolesWithSelect', (select coalesce(json_agg(name), '[]') from asked
        where ${READS_TABLE} or ${hasPrivilege('a.attacl', 'SELECT')})
    ) order by a.attnum), '[]')
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type t on t.oid = a.atttypid
    join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
    join pg_catalog.pg_type b on b.oid = (
      with recursive base as (
        select t.oid, t.typbasetype, 0 as depth
        union all select d.oid, d.typbasetype, base.depth + 1 from base join pg_catalog.pg_type d on d.oid = base.typbasetype
      ) select oid from base order by depth desc limit 1
    )
    left join pg_catalog.pg_collation l on l.oid = a.attcollation
    left join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ) as columns,
  (
    select coalesce(json_agg(k.number order by k.at), '[]')
    from pg_catalog.pg_index i cross join unnest(i.indkey::int2[]) with ordinality k (number, at)
    where i.indrelid = c.oid and i.indisprimary
  ) as "primaryKey",
  (
    select coalesce(json_agg(json_build_object(
      'permissive', p.polpermissive, 'tree', p.polqual::text,
      'roles', (select coalesce(json_agg(name), '[]') from asked
        where 0 = any(p.polroles) or exists (select from groups g where g.role = asked.oid and g.oid = any(p.polroles)))
    )), '[]')
    from pg_catalog.pg_policy p where p.polrelid = c.oid and p.polcmd in ('r', '*')
  ) as policies
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = any($1)`

/** Looks the tables up, with what their policies may read. The session is to see one state all along (repeatable read). */
export async function loadTableEntries(
  session: Queryable,
  oids: readonly number[],
  roles: readonly string[],
): Promise<Map<number, CatalogTable>> {
  const entries = new Map<number, CatalogTable>()
  for (const row of await tableRows(session, oids, roles)) entries.set(row.oid, await describe(session, row, roles))
  return entries
}

/** The tables as far as their SELECT policies go. */
export function loadSecuredTables(session: Queryable, oids: readonly number[], roles: readonly string[]): Promise<readonly SecuredTable[]> {
  return tableRows(session, oids, roles)
}

async function tableRows(session: Queryable, oids: readonly number[], roles: readonly string[]): Promise<TableRow[]> {
  return (await session.query(TABLES_SQL, [oids, roles])).rows as TableRow[]
}

async function describe(session: Queryable, row: TableRow, roles: readonly string[]): Promise<CatalogTable> {
  const { policies, ...facts } = row
  const reader = new PolicyReader(session, loadSecuredTables)
  await reader.read(row)
  const { claims, reach } = reader
  const names = row.roles.map(({ name }) => name)
  const versions = await loadPolicyVersions(session, reach, names)
  const columns = row.columns.map((column) => ({ ...column, rolesWithSelect: new Set(column.rolesWithSelect) }))
  const policiesFor = (role: string): PolicyRow[] => policies.filter((policy) => policy.roles.includes(role))
  const ownerColumns = new Map<string, string>()
  for (const role of row.rowSecurity ? roles : []) {
    const number = ownerColumn(policiesFor(role), (oid) => reader.isUid(oid))
    const column = columns.find((each) => each.number === number)
    if (column !== undefined) ownerColumns.set(role, column.name)
  }
  return {
    ...facts,
    columns,
    primaryKey: row.primaryKey.flatMap((number) => columns.find((column) => column.number === number) ?? []),
    claims,
    ownerColumns,
    roles: new Map(
      row.roles.map(({ name, ...role }, index) => [name, { ...role, version: versions[index]!, scope: reader.scopeOf(policiesFor(name)) }]),
    ),
    reach,
  }
}
