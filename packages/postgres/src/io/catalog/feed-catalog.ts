import {
  claimsReadBy,
  expressionUse,
  ownerColumn,
  type ClaimsUse,
  type FunctionFacts,
  type PolicyTree,
} from '../../catalog/policy-analysis.ts'
import type { EntryColumn, PublishedTable, RoleFacts, TableEntry } from '../../catalog/table-entry.ts'
import type { Queryable } from '../sessions/queryable.ts'

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
): Promise<{ readonly name: string; readonly hasPrimaryKey: boolean } | null> {
  if (schema.includes('\0') || table.includes('\0') || role.includes('\0')) return null
  const { rows } = await session.query(
    `select format('%I.%I', n.nspname, c.relname) as name,
       exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary) as "hasPrimaryKey"
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_roles r on r.rolname = $3
     where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p') and n.nspname <> 'realtime'
       and pg_catalog.has_schema_privilege(r.oid, n.oid, 'USAGE') and pg_catalog.has_any_column_privilege(r.oid, c.oid, 'SELECT')`,
    [schema, table, role],
  )
  return (rows as { name: string; hasPrimaryKey: boolean }[])[0] ?? null
}

/** Of the roles with these names, in their order. */
export async function loadRoles(session: Queryable, names: readonly string[]): Promise<RoleFacts[]> {
  const { rows } = await session.query(
    `select rolname::text as name, rolsuper or rolname = session_user or rolname in ('none', 'public') or rolname like 'pg\\_%' as forbidden,
       pg_catalog.pg_has_role(session_user, oid, 'MEMBER') as member, rolsuper or rolbypassrls as bypasses
     from pg_catalog.pg_roles where rolname = any($1)`,
    [names],
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

interface TableRow {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly rowSecurity: boolean
  readonly wholeOldRows: boolean
  readonly readers: readonly string[]
  readonly columns: readonly ColumnRow[]
  readonly primaryKey: readonly number[]
  readonly policies: readonly PolicyRow[]
}

type ColumnRow = Omit<EntryColumn, 'readers'> & { readonly readers: readonly string[] }

interface PolicyRow extends PolicyTree {
  /** The roles among those asked for that it is for. */
  readonly roles: readonly string[]
}

const TABLES_SQL = `
with asked as (select r.oid, r.rolname as name from pg_catalog.pg_roles r where r.rolname = any($2))
select c.oid::int8::float8 as oid, n.nspname as schema, c.relname as name, c.relrowsecurity as "rowSecurity",
  c.relreplident = 'f' as "wholeOldRows",
  (select coalesce(json_agg(name), '[]') from asked where pg_catalog.has_table_privilege(asked.oid, c.oid, 'SELECT')) as readers,
  (
    select coalesce(json_agg(json_build_object(
      'name', a.attname, 'number', a.attnum, 'typeOid', a.atttypid::int8,
      'baseOid', b.oid::int8, 'typeName', t.typname, 'typeSql', format('%I.%I', tn.nspname, t.typname),
      'category', b.typcategory, 'isEnum', b.typtype = 'e', 'deterministic', coalesce(l.collisdeterministic, true),
      'collation', case when l.oid is not null and l.collname <> 'default' then format('%I.%I', ln.nspname, l.collname) end,
      'readers', (select coalesce(json_agg(name), '[]') from asked where pg_catalog.has_column_privilege(asked.oid, c.oid, a.attnum, 'SELECT'))
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
        where 0 = any(p.polroles) or exists (select from unnest(p.polroles) r where pg_catalog.pg_has_role(asked.oid, r, 'USAGE')))
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
): Promise<Map<number, TableEntry>> {
  const entries = new Map<number, TableEntry>()
  for (const row of await tableRows(session, oids, roles)) entries.set(row.oid, await describe(session, row, roles))
  return entries
}

async function tableRows(session: Queryable, oids: readonly number[], roles: readonly string[]): Promise<TableRow[]> {
  return (await session.query(TABLES_SQL, [oids, roles])).rows as TableRow[]
}

async function describe(session: Queryable, row: TableRow, roles: readonly string[]): Promise<TableEntry> {
  const reach = new PolicyReach(session)
  await reach.visit(row)
  const columns = row.columns.map((column) => ({ ...column, readers: new Set(column.readers) }))
  return {
    oid: row.oid,
    schema: row.schema,
    name: row.name,
    rowSecurity: row.rowSecurity,
    wholeOldRows: row.wholeOldRows,
    readers: new Set(row.readers),
    columns,
    primaryKey: row.primaryKey.flatMap((number) => columns.find((column) => column.number === number) ?? []),
    claims: reach.claims,
    ownerColumns: ownerColumns(row, roles, reach),
    evidence: await reach.evidence(),
  }
}

function ownerColumns(row: TableRow, roles: readonly string[], reach: PolicyReach): Map<string, string> {
  const owners = new Map<string, string>()
  if (!row.rowSecurity) return owners
  for (const role of roles) {
    const number = ownerColumn(
      row.policies.filter((policy) => policy.roles.includes(role)),
      (oid) => reach.isUid(oid),
    )
    const column = row.columns.find((each) => each.number === number)
    if (column !== undefined) owners.set(role, column.name)
  }
  return owners
}

/** Policies may read other tables, which have policies of their own, and so on; further than this is not followed. */
const MAX_DEPTH = 8
const UUID_TYPE = 2950

/** Follows the policies of a table to all that they read. */
class PolicyReach {
  readonly #session: Queryable
  readonly #tables = new Set<number>()
  readonly #functions = new Map<number, FunctionFacts>()
  readonly #claims = new Set<string>()
  #all = false

  constructor(session: Queryable) {
    this.#session = session
  }

  get claims(): ClaimsUse {
    return this.#all ? 'all' : this.#claims
  }

  isUid(oid: number): boolean {
    const facts = this.#functions.get(oid)
    if (facts === undefined || facts.resultType !== UUID_TYPE || facts.oid < 16_384) return false
    const claims = claimsReadBy(facts)
    return claims !== null && claims.size === 1 && claims.has('sub')
  }

  async visit(row: TableRow, depth = 0): Promise<void> {
    this.#tables.add(row.oid)
    if (!row.rowSecurity) return
    const next = new Set<number>()
    for (const { tree } of row.policies) {
      if (tree === null) continue
      const use = expressionUse(tree)
      if (use === null) {
        this.#all = true
        continue
      }
      await this.#functionsOf([...use.functions], [...use.operators])
      for (const table of use.tables) if (!this.#tables.has(table)) next.add(table)
    }
    if (depth === MAX_DEPTH && next.size > 0) this.#all = true
    else if (next.size > 0) for (const table of await tableRows(this.#session, [...next], [])) await this.visit(table, depth + 1)
  }

  async evidence(): Promise<TableEntry['evidence']> {
    const tables = [...this.#tables].toSorted((a, b) => a - b)
    const functions = [...this.#functions.keys()].toSorted((a, b) => a - b)
    const { rows } = await this.#session.query(`select ${fingerprintSql('$1::oid[]', '$2::oid[]')} as fingerprint`, [tables, functions])
    return { tables, functions, fingerprint: (rows as { fingerprint: string }[])[0]!.fingerprint }
  }

  async #functionsOf(functions: readonly number[], operators: readonly number[]): Promise<void> {
    const { rows } = await this.#session.query(FUNCTIONS_SQL, [functions, operators])
    if (rows.length < new Set(functions).size) this.#all = true
    for (const facts of rows as FunctionFacts[]) {
      this.#functions.set(facts.oid, facts)
      const claims = claimsReadBy(facts)
      if (claims === null) this.#all = true
      else for (const claim of claims) this.#claims.add(claim)
    }
  }
}

const FUNCTIONS_SQL = `
select p.oid::int8::float8 as oid, p.provolatile as volatility, l.lanname as language, p.prosrc as source,
  p.pronargs as "argumentCount", p.prorettype::int8::float8 as "resultType",
  p.prosecdef or p.proconfig is not null or to_jsonb(p)->'prosqlbody' <> 'null' as special
from pg_catalog.pg_proc p join pg_catalog.pg_language l on l.oid = p.prolang
where p.oid = any($1::oid[]) or p.oid in (select oprcode from pg_catalog.pg_operator where oid = any($2::oid[]))`

/** A text that changes when one of these tables' policies or one of these functions does. */
export function fingerprintSql(tables: string, functions: string): string {
  return `pg_catalog.md5(pg_catalog.concat_ws('|',
    (select pg_catalog.string_agg(p.oid::text || ':' || p.xmin::text, ',' order by p.oid) from pg_catalog.pg_policy p where p.polrelid = any(${tables})),
    (select pg_catalog.string_agg(c.oid::text || ':' || c.relrowsecurity::text || c.relforcerowsecurity::text || c.relkind::text || c.relowner::text, ',' order by c.oid)
     from pg_catalog.pg_class c where c.oid = any(${tables})),
    (select pg_catalog.string_agg(f.oid::text || ':' || f.xmin::text, ',' order by f.oid) from pg_catalog.pg_proc f where f.oid = any(${functions}))))`
}
