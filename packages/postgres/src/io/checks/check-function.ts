import pg from 'pg'
import { isWrittenAlike } from '../../subscribe/filter-test.ts'
import type { TableEntry } from '../../catalog/table-entry.ts'
import { fingerprintSql } from '../catalog/feed-catalog.ts'
import { unseenSql } from './visibility.ts'

/**
 * The functions that look rows up as somebody else. The statement that reads the table is the same for everybody and runs
 * once per identity: never several identities in one statement, for then their rows mix.
 */
export interface CheckFunction {
  /** The same for equal definitions. A function's is `pg_temp.…`. */
  readonly name: string
  readonly sql: string
}

/** Every batch asks for one. */
const written = new WeakMap<TableEntry, Map<string, CheckFunction>>()

/** Whether rows can be told by the text of their key alone. */
export function hasPlainKey(entry: TableEntry): boolean {
  const [key, ...others] = entry.primaryKey
  // Cast to text, a boolean is not what the stream writes.
  return key !== undefined && others.length === 0 && key.baseOid !== 16 && isWrittenAlike(key)
}

/**
 * `check(role, claims[], untils[], bounds[], xids[], keys…[], guarded)` answers, by identity, the keys (or `row:xid`) that it
 * sees, and at last a row 0 with the fingerprint of the policies; or nothing but a row -1, while one of the transactions
 * `xids` cannot be seen yet. Identities that ask for the same keys stand together: up to `untils[n]` they ask for the keys
 * from `bounds[n] + 1` to `bounds[n + 1]`. Guarded, an identity whose policies fail gets its error told and the others go on.
 */
export function checkFunction(entry: TableEntry, role: string, withXmin: boolean): CheckFunction {
  let known = written.get(entry)
  if (known === undefined) written.set(entry, (known = new Map()))
  const key = `${withXmin} ${role}`
  let checkSql = known.get(key)
  if (checkSql === undefined) known.set(key, (checkSql = writeFunction(entry, role, withXmin)))
  return checkSql
}

function writeFunction(entry: TableEntry, role: string, withXmin: boolean): CheckFunction {
  const plain = hasPlainKey(entry) && !withXmin
  const keys = entry.primaryKey.map((column, index) => `k${index} ${plain ? column.typeSql : 'pg_catalog.text'}[]`)
  const slices = entry.primaryKey.map((_, index) => `p${index} := k${index}[bounds[part] + 1 : bounds[part + 1]];`)
  const parts = entry.primaryKey.map((column, index) => `p${index} ${plain ? column.typeSql : 'pg_catalog.text'}[];`)
  const look = plain ? plainLook(entry) : joinedLook(entry, withXmin)
  const body = `
declare
  claim pg_catalog.text;
  part pg_catalog.int4 := 0;
  part_end pg_catalog.int4 := 0;
  ${parts.join('\n  ')}
begin
  if ${unseenSql('xids')} then
    i := -1;
    return next;
    return;
  end if;
  perform pg_catalog.set_config('role', as_role, true);
  i := 0;
  foreach claim in array claims loop
    i := i + 1;
    if i > part_end then
      part := part + 1;
      part_end := untils[part];
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
  seen := array[${fingerprintSql(oidArray(entry.evidence.tables), oidArray(entry.evidence.functions))}];
  return next;
end`
  // A plan is good for one role: with a function for each, none has to be made anew when roles take turns.
  const name = `pg_temp.tidewire_check_${entry.oid}_${hash(body + role)}`
  const parameters = [
    'as_role pg_catalog.text',
    'claims pg_catalog.text[]',
    'untils pg_catalog.int4[]',
    'bounds pg_catalog.int4[]',
    'xids pg_catalog.int8[]',
    ...keys,
    'guarded pg_catalog.bool',
  ]
  return {
    name,
    sql: `create or replace function ${name}(${parameters.join(', ')}) returns table (i pg_catalog.int4, seen pg_catalog.text[], fault pg_catalog.text) language plpgsql volatile as ${pg.escapeLiteral(body)}`,
  }
}

/** The one statement that decides about rows whose key is one column that is equal when it is written alike. */
function plainLook(entry: TableEntry): string {
  const key = pg.escapeIdentifier(entry.primaryKey[0]!.name)
  return `select pg_catalog.array_agg(t.${key}::pg_catalog.text) into seen from ${tableSql(entry)} t where t.${key} operator(pg_catalog.=) any(p0);`
}

function joinedLook(entry: TableEntry, withXmin: boolean): string {
  return `select pg_catalog.array_agg(k.n::pg_catalog.text || ':' || r.written) into seen ${lookedUp(entry, withXmin, (column) => `p${column}`)};`
}

/** The statement for sessions that may not make functions. It takes the keys, column by column, and answers `n` and `written`. */
export function checkStatement(entry: TableEntry, role: string, withXmin: boolean): CheckFunction {
  const sql = `select k.n::pg_catalog.text as n, r.written ${lookedUp(entry, withXmin, (column) => `$${column + 1}::pg_catalog.text[]`)}`
  return { name: `tidewire_check_${entry.oid}_${hash(sql + role)}`, sql }
}

/**
 * Each key is looked up by itself (`offset 0` keeps it so): joined, a plan that was made for a small table would ask the
 * policies about all rows of a large one.
 */
function lookedUp(entry: TableEntry, withXmin: boolean, keysOf: (column: number) => string): string {
  const columns = entry.primaryKey.map((_, index) => `c${index}`)
  const on = entry.primaryKey.map(({ name, typeSql }, index) => `t.${pg.escapeIdentifier(name)} = k.c${index}::${typeSql}`)
  return `from rows from (${columns.map((_, index) => `pg_catalog.unnest(${keysOf(index)})`).join(', ')}) with ordinality k (${[...columns, 'n'].join(', ')}),
        lateral (select ${withXmin ? 't.xmin::pg_catalog.text' : `'0'::pg_catalog.text`} as written from ${tableSql(entry)} t where ${on.join(' and ')} offset 0) r`
}

export function tableSql(entry: Pick<TableEntry, 'schema' | 'name'>): string {
  return `${pg.escapeIdentifier(entry.schema)}.${pg.escapeIdentifier(entry.name)}`
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
