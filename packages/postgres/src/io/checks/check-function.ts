import pg from 'pg'
import { isWrittenAlike } from '../../subscribe/prepared-filter.ts'
import { getOrMake } from '../../catalog/multimap.ts'
import type { CatalogColumn, CatalogTable } from '../../catalog/catalog-table.ts'
import { policyVersionSql } from '../catalog/policy-version.ts'
import { unseenSql } from './visibility.ts'

/**
 * The functions that look rows up as other identities. The statement that reads the table is the same for all and runs once
 * per identity: with several identities in one statement their rows would mix.
 */
export interface CheckFunction {
  /** The same for equal definitions. A function's is `pg_temp.…`. */
  readonly name: string
  readonly sql: string
}

/** Every batch asks for one. */
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
 * `check(role, claims[], untils[], bounds[], xids[], images[], missing[], keys…[], guarded)` answers, by identity, the rows that
 * it sees as {@link readSeen} reads them, and at last a row 0 with the policy version; or nothing but a row -1, while one of
 * the transactions `xids` is not visible yet. Identities that ask for the same keys stand together: up to `untils[n]` they ask
 * for the keys from `bounds[n] + 1` to `bounds[n + 1]`. Guarded, an identity whose policies fail gets its error and the others
 * go on, and row 0 holds the version before the first look as well.
 */
export function checkFunction(table: CatalogTable, role: string, columns: readonly number[], masked: boolean): CheckFunction {
  const known = getOrMake(written, table, () => new Map<string, CheckFunction>())
  return getOrMake(known, `${masked} ${columns.join()} ${role}`, () => writeFunction(table, role, columns, masked))
}

function writeFunction(table: CatalogTable, role: string, columns: readonly number[], masked: boolean): CheckFunction {
  const keys = table.primaryKey.map((column, index) => `k${index} ${keyType(table, column)}[]`)
  const parts = table.primaryKey.map((column, index) => `p${index} ${keyType(table, column)}[];`)
  const slices = table.primaryKey.map((_, index) => `p${index} := k${index}[first + 1 : bounds[part + 1]];`)
  const version = policyVersionSql({ ...reachSql(table), role: `${pg.escapeLiteral(role)}::pg_catalog.text` })
  // A slice of `images` would copy all of them, for each identity.
  const sources = { keys: table.primaryKey.map((_, index) => `p${index}`), images: 'images', missing: 'missing', first: 'first' }
  const look = `select pg_catalog.array_agg(r.seen) into seen ${lookedUp(table, role, columns, masked, sources)};`
  const body = `
#variable_conflict use_variable
declare
  claim pg_catalog.text;
  part pg_catalog.int4 := 0;
  part_end pg_catalog.int4 := 0;
  first pg_catalog.int4 := 0;
  before pg_catalog.text;
  ${parts.join('\n  ')}
begin
  if ${unseenSql('xids')} then
    i := -1;
    return next;
    return;
  end if;
  if guarded then
    before := ${version};
  end if;
  perform pg_catalog.set_config('role', as_role, true);
  i := 0;
  foreach claim in array claims loop
    i := i + 1;
    if i > part_end then
      part := part + 1;
      part_end := untils[part];
      first := bounds[part];
      ${slices.join('\n      ')}
    end if;
    if guarded then
      begin
        perform pg_catalog.set_config('request.jwt.claims', claim, true);
        ${look}
        if seen is not null then return next; end if;
      exception when others then
        seen := null;
        fault := sqlerrm;
        return next;
        fault := null;
      end;
    else
      perform pg_catalog.set_config('request.jwt.claims', claim, true);
      ${look}
      if seen is not null then return next; end if;
    end if;
  end loop;
  perform pg_catalog.set_config('role', 'none', true);
  i := 0;
  seen := array[${version}, before];
  return next;
end`
  // A plan is good for one role: with a function for each, none is planned again when roles take turns.
  const name = `pg_temp.tidewire_check_${table.oid}_${hash(body + role)}`
  const parameters = [
    'as_role pg_catalog.text',
    'claims pg_catalog.text[]',
    'untils pg_catalog.int4[]',
    'bounds pg_catalog.int4[]',
    'xids pg_catalog.int8[]',
    'images pg_catalog.text[]',
    'missing pg_catalog.text[]',
    ...keys,
    'guarded pg_catalog.bool',
  ]
  return {
    name,
    sql: `create or replace function ${name}(${parameters.join(', ')}) returns table (i pg_catalog.int4, seen pg_catalog.text[], fault pg_catalog.text) language plpgsql volatile as ${pg.escapeLiteral(body)}`,
  }
}

/** What is prepared for sessions that may not make functions. It takes images, missing and the keys, column by column, and answers `seen`. */
export function checkStatement(table: CatalogTable, role: string, columns: readonly number[], masked: boolean): CheckFunction {
  const types = ['pg_catalog.text[]', 'pg_catalog.text[]', ...table.primaryKey.map((column) => `${keyType(table, column)}[]`)]
  const sources = { images: '$1', missing: '$2', keys: table.primaryKey.map((_, index) => `$${index + 3}`), first: '0' }
  const sql = `(${types.join(', ')}) as select r.seen ${lookedUp(table, role, columns, masked, sources)}`
  return { name: `tidewire_check_${table.oid}_${hash(sql + role)}`, sql }
}

/** The published columns that the role may select: those that are compared, and read where a row was written again. */
export function comparedColumns(table: CatalogTable, role: string, columns: readonly number[]): CatalogColumn[] {
  return columns.flatMap((number) => table.columns.find((column) => column.number === number && column.rolesWithSelect.has(role)) ?? [])
}

/** SQL of arrays: the keys that are looked up, column by column, and what is known of rows, that of the first key after the place `first`. */
interface LookSources {
  readonly keys: readonly string[]
  readonly images: string
  readonly missing: string
  readonly first: string
}

/**
 * The rows that are seen, each compared with its image by the statement that read it: any later one may see another version.
 * Where {@link namesFirst}, a row is compared with the first image of its key only.
 */
function lookedUp(table: CatalogTable, role: string, numbers: readonly number[], masked: boolean, sources: LookSources): string {
  const columns = comparedColumns(table, role, numbers)
  const values = columns.map(({ name }) => `t.${pg.escapeIdentifier(name)}`)
  const of = (array: string, number: string): string => `(${array})[${sources.first} + ${number}]`
  if (namesFirst(table, masked)) {
    const key = `t.${pg.escapeIdentifier(table.primaryKey[0]!.name)}`
    const number = `pg_catalog.array_position(${sources.keys[0]!}, ${key})`
    const seen = seenSql(number, `row(${values.join(', ')})`, of(sources.images, number), values)
    return `from (select ${seen} as seen from ${rowsSql(table)} t where ${key} operator(pg_catalog.=) any(${sources.keys[0]!})) r`
  }
  const keys = table.primaryKey.map((_, index) => `c${index}`)
  const equals = hasPlainKey(table) ? 'operator(pg_catalog.=)' : '='
  const on = table.primaryKey.map(({ name, typeSql }, index) => `t.${pg.escapeIdentifier(name)} ${equals} k.c${index}::${typeSql}`)
  const missing = of(sources.missing, 'k.n::pg_catalog.int4')
  const known = masked
    ? values.map((value, index) => `case when pg_catalog.strpos(${missing}, ',${columns[index]!.number},') > 0 then null else ${value} end`)
    : values
  const arrays = sources.keys.map((array) => `pg_catalog.unnest(${array})`)
  // Each key is looked up by itself (`offset 0` keeps it so): joined, a plan that was made for a small table would ask the
  // policies about all rows of a large one.
  return `from rows from (${arrays.join(', ')}) with ordinality k (${[...keys, 'n'].join(', ')}),
        lateral (select ${seenSql('k.n', `row(${known.join(', ')})`, of(sources.images, 'k.n::pg_catalog.int4'), values)} as seen
          from ${rowsSql(table)} t where ${on.join(' and ')} offset 0) r`
}

/** Whether a look-up answers with the first of the rows that have a key, and leaves the others to {@link readSeen}. */
export function namesFirst(table: CatalogTable, masked: boolean): boolean {
  return hasPlainKey(table) && !masked
}

/** The number of the row, and what it is by now where that differs from its image. */
function seenSql(number: string, known: string, image: string, values: readonly string[]): string {
  return `case when ${known}::pg_catalog.text = ${image} collate pg_catalog."C" then ${number}::pg_catalog.text
            else ${number}::pg_catalog.text || ':' || row(${values.join(', ')})::pg_catalog.text end`
}

export function tableSql(table: Pick<CatalogTable, 'schema' | 'name'>): string {
  return `${pg.escapeIdentifier(table.schema)}.${pg.escapeIdentifier(table.name)}`
}

/** The table's own rows: one that inherits from it may have a row with the same key. */
export function rowsSql(table: Pick<CatalogTable, 'schema' | 'name' | 'partitioned'>): string {
  return table.partitioned ? tableSql(table) : `only ${tableSql(table)}`
}

/** What {@link policyVersionSql} takes. */
function reachSql({ reach }: Pick<CatalogTable, 'reach'>): { readonly tables: string; readonly functions: string } {
  return { tables: oidArray(reach.tables), functions: oidArray(reach.functions) }
}

function oidArray(oids: readonly number[]): string {
  return `'{${oids.join(',')}}'::pg_catalog.oid[]`
}

/** FNV-1a in hexadecimal. */
function hash(text: string): string {
  let state = 0x811c9dc5
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193)
  return (state >>> 0).toString(16)
}
