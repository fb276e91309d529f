import { fnv1a } from '@tidewire/protocol'
import pg from 'pg'
import { isWrittenAlike } from '../../subscribe/prepared-filter.ts'
import { getOrMake } from '../../catalog/multimap.ts'
import type { CatalogColumn, CatalogTable } from '../../catalog/catalog-table.ts'
import { policyVersionSql } from '../catalog/policy-version.ts'
import { keyedRowsSql, rowsSql } from '../catalog/table-sql.ts'
import { notVisibleSql } from './visibility.ts'

/**
 * SQL that looks rows up as another identity: a function, or a statement to prepare. What reads the table is the same for all
 * identities and runs once for each: with several identities in one statement their rows would mix.
 */
export interface CheckFunction {
  /** Equal definitions have equal names. A function's is `pg_temp.…`. */
  readonly name: string
  readonly sql: string
}

/** How rows are written. */
export interface Shape {
  /** Leaves out the columns that are `missing`. */
  readonly masked: boolean
  /** Writes each version of a row once for identities that ask for the same. Pays for large rows only. */
  readonly wide: boolean
}

/** Definitions made so far: every batch needs one. */
const written = new WeakMap<CatalogTable, Map<string, CheckFunction>>()

/** Whether rows can be found by the text of their key alone. */
function hasPlainKey(table: CatalogTable): boolean {
  const [key, ...others] = table.primaryKey
  // Cast to text, a boolean is not what the stream writes.
  return key !== undefined && others.length === 0 && key.baseOid !== 16 && isWrittenAlike(key)
}

function keyType(table: CatalogTable, column: CatalogColumn): string {
  return hasPlainKey(table) ? column.typeSql : 'pg_catalog.text'
}

/**
 * `check(role, claims[], untils[], xids[], missing[], keys…[], guarded)` returns rows `(i, seen, fault)`:
 * - `i > 0`: a row that identity `i` sees, as {@link RowList} reads it, or, in guarded mode, the fault of its policies.
 * - `i = 0`: the policy version after all rows were read; in guarded mode also the one before, as the first row.
 * - `i = -1`: one of the transactions `xids` is not visible yet. It is the only row.
 *
 * Identities that ask for the same keys follow each other: those after `untils[n - 1]` and up to `untils[n]` ask for the keys in
 * the array whose text is `keys[n]`. In guarded mode a failing identity reports its error and the rest continue, unless the
 * server lacks resources: no identity caused that, so it is no denial.
 */
export function checkFunction(table: CatalogTable, role: string, columns: readonly number[], { masked, wide }: Shape): CheckFunction {
  const known = getOrMake(written, table, () => new Map<string, CheckFunction>())
  return getOrMake(known, `${masked} ${wide} ${columns.join()} ${role}`, () => writeFunction(table, role, columns, { masked, wide }))
}

/** Versions of rows that are remembered for identities that ask for the same. Each further identity compares with all of them. */
const MAX_KNOWN = 100

function writeFunction(table: CatalogTable, role: string, columns: readonly number[], { masked, wide }: Shape): CheckFunction {
  const types = table.primaryKey.map((column) => `${keyType(table, column)}[]`)
  const version = policyVersionSql(versionParts(table, role))
  const keys = types.map((_, index) => `p${index}`)
  const remembers = wide && table.roles.get(role)?.readsCtid === true
  const rows = lookedUp(table, role, columns, { keys, missing: masked ? 'unknown' : null, known: remembers ? 'known' : null })
  const find = remembers
    ? `select array(select r.seen ${rows}) into shown;
      foreach seen in array shown loop
        return next;
        if i < part_end and pg_catalog.starts_with(seen, '("') and (known is null or pg_catalog.cardinality(known) < ${MAX_KNOWN}) then
          known := pg_catalog.array_append(known, pg_catalog.split_part(seen, '"', 2)::pg_catalog.tid);
        end if;
      end loop;`
    : `return query select i, r.seen, null::pg_catalog.text ${rows};`
  // An assignment calls `set_config` without a statement.
  const readAsIdentity = `setting := pg_catalog.set_config('request.jwt.claims', claim, true);
      ${find}`
  const body = `
#variable_conflict use_variable
declare
  claim pg_catalog.text;
  part pg_catalog.int4 := 0;
  part_end pg_catalog.int4 := 0;
  setting pg_catalog.text;
  shown pg_catalog.text[];
  unknown pg_catalog.text[];
  known pg_catalog.tid[];
  ${types.map((type, index) => `p${index} ${type};`).join('\n  ')}
begin
  if ${notVisibleSql('xids')} then
    i := -1;
    return next;
    return;
  end if;
  i := 0;
  if guarded then
    seen := ${version};
    return next;
  end if;
  setting := pg_catalog.set_config('role', as_role, true);
  foreach claim in array claims loop
    i := i + 1;
    if i > part_end then
      part := part + 1;
      part_end := untils[part];
      known := null;
      unknown := missing[part];
      ${types.map((_, index) => `p${index} := k${index}[part];`).join('\n      ')}
    end if;
    if guarded then
      begin
        ${readAsIdentity}
      exception when insufficient_resources then
        raise;
      when others then
        -- The rollback released the lock, so a ctid may be used again.
        known := null;
        seen := null;
        fault := sqlerrm;
        return next;
        fault := null;
      end;
    else
      ${readAsIdentity}
    end if;
  end loop;
  setting := pg_catalog.set_config('role', 'none', true);
  i := 0;
  seen := ${version};
  return next;
end`
  const name = `pg_temp.${nameOf(table, role, body)}`
  const parameters = [
    'as_role pg_catalog.text',
    'claims pg_catalog.text[]',
    'untils pg_catalog.int4[]',
    'xids pg_catalog.int8[]',
    'missing pg_catalog.text[]',
    ...types.map((_, index) => `k${index} pg_catalog.text[]`),
    'guarded pg_catalog.bool',
  ]
  return {
    name,
    sql: `create or replace function ${name}(${parameters.join(', ')}) returns table (i pg_catalog.int4, seen pg_catalog.text, fault pg_catalog.text) language plpgsql volatile as ${pg.escapeLiteral(body)}`,
  }
}

/** For sessions that may not make functions. Takes `missing` and the keys, column by column, and returns `seen`. */
export function checkStatement(table: CatalogTable, role: string, columns: readonly number[], masked: boolean): CheckFunction {
  const types = ['pg_catalog.text[]', ...table.primaryKey.map((column) => `${keyType(table, column)}[]`)]
  const keys = table.primaryKey.map((_, index) => `$${index + 2}`)
  const sql = `(${types.join(', ')}) as select r.seen ${lookedUp(table, role, columns, { keys, missing: masked ? '$1' : null, known: null })}`
  return { name: nameOf(table, role, sql), sql }
}

/**
 * The role is in the name: a plan serves one role. The types of the key are in it: Postgres keeps them by oid, and a new type of the
 * same name has another oid.
 */
function nameOf({ oid, primaryKey }: CatalogTable, role: string, sql: string): string {
  return `tidewire_check_${oid}_${fnv1a([role, ...primaryKey.map(({ typeOid }) => typeOid), sql].join(' ')).toString(16)}`
}

/** The published columns that the role may select: those that are compared, and read where a row was written again. */
export function comparedColumns(table: CatalogTable, role: string, columns: readonly number[]): CatalogColumn[] {
  return columns.flatMap((number) => table.columns.find((column) => column.number === number && column.rolesWithSelect.has(role)) ?? [])
}

/** SQL expressions that give arrays. */
interface RowSources {
  /** The keys that are looked up, column by column. */
  readonly keys: readonly string[]
  /** By key, the columns whose values are not compared; `null`: all are, in all rows. */
  readonly missing: string | null
  /** The versions of rows, by `ctid`, that were shown before; `null`: the statement does not compare versions. */
  readonly known: string | null
}

/**
 * A FROM clause with `r.seen`: the rows that are seen, as text. A row is `(ctid,number,…)`: the number of its key, or null where the
 * text of the key finds it; then the columns that are compared. A version that is `known` is its `ctid` alone. The `ctid` is null where
 * versions are not compared. No version gets the `ctid` of another while the call lasts: its snapshot keeps what other sessions
 * delete, and its lock keeps the table from being written anew.
 */
function lookedUp(table: CatalogTable, role: string, numbers: readonly number[], { keys, missing, known }: RowSources): string {
  const columns = comparedColumns(table, role, numbers)
  const values = columns.map(({ name }) => `t.${pg.escapeIdentifier(name)}`)
  const seenSql = (number: string, shown: readonly string[]): string => {
    const row = (ctid: string): string => `row(${[ctid, number, ...shown].join(', ')})::pg_catalog.text`
    if (known === null) return row('null')
    return `case when t.ctid operator(pg_catalog.=) any(${known}) then t.ctid::pg_catalog.text else ${row('t.ctid')} end`
  }
  if (hasPlainKey(table) && missing === null) {
    const key = `t.${pg.escapeIdentifier(table.primaryKey[0]!.name)}`
    return `from (select ${seenSql('null', values)} as seen from ${rowsSql(table)} t where ${key} operator(pg_catalog.=) any(${keys[0]!})) r`
  }
  const equals = hasPlainKey(table) ? 'operator(pg_catalog.=)' : '='
  const shown =
    missing === null
      ? values
      : values.map((value, index) => {
          const isMissing = `pg_catalog.strpos((${missing})[k.n::pg_catalog.int4], ',${columns[index]!.number},') > 0`
          return `case when ${isMissing} then null else ${value} end`
        })
  return keyedRowsSql(table, keys, [`${seenSql('k.n', shown)} as seen`], equals)
}

function versionParts({ reach, roles }: CatalogTable, role: string): Parameters<typeof policyVersionSql>[0] {
  return { tables: oidArray(reach.tables), functions: oidArray(reach.functions), groups: oidArray(roles.get(role)?.groups ?? []) }
}

function oidArray(oids: readonly number[]): string {
  return `'{${oids.join(',')}}'::pg_catalog.oid[]`
}
