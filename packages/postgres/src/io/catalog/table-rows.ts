import type { CatalogColumn, CatalogTable, TableRole } from '../../catalog/catalog-table.ts'
import type { PolicyTree } from '../../catalog/owner-column.ts'
import type { Queryable } from '../../catalog/queryable.ts'

/** A table as the query gives it. Sets come as lists, and the primary key as `attnum`s. */
export interface TableRow extends Pick<CatalogTable, 'oid' | 'schema' | 'name' | 'rowSecurity' | 'partitioned' | 'replicaIdentityFull'> {
  readonly columns: readonly (Omit<CatalogColumn, 'rolesWithSelect'> & { readonly rolesWithSelect: readonly string[] })[]
  readonly primaryKey: readonly number[]
  readonly policies: readonly PolicyRow[]
  readonly roles: readonly (Omit<TableRole, 'version' | 'scope'> & { readonly name: string })[]
}

export interface PolicyRow extends PolicyTree {
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

/** Reads the tables that exist, for the roles that exist. */
export async function tableRows(session: Queryable, oids: readonly number[], roles: readonly string[]): Promise<TableRow[]> {
  return (await session.query(TABLES_SQL, [oids, roles])).rows as TableRow[]
}
