import type { RelationMessage } from '../../replication/pgoutput/message.ts'
import { describeTable, type Table, type CatalogRelation, type CatalogType } from '../../replication/table.ts'
import type { Queryable } from '../../catalog/queryable.ts'
import { loadValueTypes } from './type-catalog.ts'

const TABLE_SQL = `
select
  c.relrowsecurity as "rowSecurity",
  (
    select coalesce(json_agg(json_build_object(
      'name', a.attname, 'number', a.attnum, 'generated', a.attgenerated <> '', 'typeOid', a.atttypid::int8
    ) order by a.attnum), '[]')
    from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ) as columns,
  (
    select coalesce(json_agg(k.number order by k.at), '[]')
    from pg_catalog.pg_index i cross join unnest(i.indkey::int2[]) with ordinality k (number, at)
    where i.indrelid = c.oid and i.indisprimary
  ) as "primaryKey"
from pg_catalog.pg_class c where c.oid = $1`

/** Looks up the table that the stream describes. One that is gone from the catalog is described from the stream alone. */
export async function loadTable(session: Queryable, relation: RelationMessage): Promise<Table> {
  const [facts] = (await session.query(TABLE_SQL, [relation.oid])).rows as CatalogRelation[]
  const oids = new Set([...relation.columns, ...(facts?.columns ?? [])].map((column) => column.typeOid))
  return describeTable(relation, facts ?? null, await loadTypes(session, [...oids]))
}

async function loadTypes(session: Queryable, oids: readonly number[]): Promise<Map<number, CatalogType>> {
  const types = await loadValueTypes(session, oids)
  const { rows } = await session.query('select oid, typname as name from pg_catalog.pg_type where oid = any($1::oid[])', [oids])
  const facts = new Map<number, CatalogType>()
  for (const { oid, name } of rows as { oid: number; name: string }[]) {
    const type = types.get(oid)
    if (type !== undefined) facts.set(oid, { name, type })
  }
  return facts
}
