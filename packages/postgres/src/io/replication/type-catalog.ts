import { BUILTIN_TYPES, TEXT_TYPE, type ValueType } from '../../replication/pgoutput/column-value.ts'
import { FIRST_USER_OID } from '../../catalog/policy-analysis.ts'
import type { Queryable } from '../../catalog/queryable.ts'

interface TypeRow {
  readonly oid: number
  /** As SQL calls it: qualified and quoted. */
  readonly name: string
  readonly base: number
  readonly element: number
  readonly delimiter: string
  readonly casts: boolean
  readonly fields: readonly { readonly name: string; readonly type: number }[] | null
}

/** All types that the given ones are made of, down to the ones that are not made of others. */
const TYPES_SQL = `
with recursive needed (oid) as (
  select unnest($1::oid[])
  union
  select part.oid
  from needed
  join pg_catalog.pg_type t on t.oid = needed.oid
  cross join lateral (
    select t.typbasetype as oid where t.typtype = 'd'
    union all
    select t.typelem where t.typelem <> 0 and t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc
    union all
    select a.atttypid from pg_catalog.pg_attribute a
    where t.typtype = 'c' and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) part
)
select
  t.oid,
  pg_catalog.format('%I.%I', n.nspname, t.typname) as name,
  (case when t.typtype = 'd' then t.typbasetype else 0 end) as base,
  (case when t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc then t.typelem else 0 end) as element,
  coalesce(e.typdelim, ',') as delimiter,
  exists (
    select from pg_catalog.pg_cast c where c.castsource = t.oid and c.casttarget = 'pg_catalog.json'::regtype and c.castmethod = 'f'
  ) as casts,
  case when t.typtype = 'c' then (
    select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', a.atttypid::int8) order by a.attnum), '[]')
    from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
  ) end as fields
from needed
join pg_catalog.pg_type t on t.oid = needed.oid
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join pg_catalog.pg_type e on e.oid = t.typelem`

/** Looks up how values of these types become JSON. A type that no longer exists is missing in the answer. */
export async function loadValueTypes(session: Queryable, oids: readonly number[]): Promise<Map<number, ValueType>> {
  const unknown = oids.filter((oid) => !BUILTIN_TYPES.has(oid))
  const rows = new Map<number, TypeRow>()
  if (unknown.length > 0) for (const row of (await session.query(TYPES_SQL, [unknown])).rows as TypeRow[]) rows.set(row.oid, row)
  const types = new Map<number, ValueType>()
  for (const oid of oids) {
    if (!BUILTIN_TYPES.has(oid) && !rows.has(oid)) continue
    const type = valueType(oid, rows, new Set())
    types.set(oid, holdsRow(type) ? { kind: 'cast', name: rows.get(oid)!.name, otherwise: type } : type)
  }
  return types
}

function valueType(oid: number, rows: ReadonlyMap<number, TypeRow>, inside: ReadonlySet<number>): ValueType {
  const builtin = BUILTIN_TYPES.get(oid)
  if (builtin !== undefined) return builtin
  const row = rows.get(oid)
  // Postgres lets no type contain itself; were it ever to, its text is still a text.
  if (row === undefined || inside.has(oid)) return TEXT_TYPE
  const type = describedType(row, oid, rows, new Set(inside).add(oid))
  // What holds such a value anywhere, Postgres has to write as a whole.
  return holdsCast(type) ? { kind: 'cast', name: row.name } : type
}

function describedType(row: TypeRow, oid: number, rows: ReadonlyMap<number, TypeRow>, within: ReadonlySet<number>): ValueType {
  if (row.base !== 0) return { kind: 'domain', base: valueType(row.base, rows, within) }
  if (row.element !== 0) return { kind: 'array', element: valueType(row.element, rows, within), delimiter: row.delimiter }
  if (row.fields !== null)
    return { kind: 'row', fields: row.fields.map(({ name, type }) => ({ name, type: valueType(type, rows, within) })) }
  // Only types of users may bring a cast to json.
  return row.casts && oid >= FIRST_USER_OID ? { kind: 'cast', name: row.name } : TEXT_TYPE
}

function holdsCast(type: ValueType): boolean {
  if (type.kind === 'domain') return type.base.kind === 'cast'
  if (type.kind === 'array') return type.element.kind === 'cast'
  return type.kind === 'row' && type.fields.some((field) => field.type.kind === 'cast')
}

/** A composite type is altered without any word of it in the log of the tables that hold its values. */
function holdsRow(type: ValueType): boolean {
  if (type.kind === 'domain') return holdsRow(type.base)
  return type.kind === 'row' || (type.kind === 'array' && holdsRow(type.element))
}
