import type { TableName } from '../catalog/catalog-table.ts'
import { BUILTIN_TYPES, TEXT_TYPE, type ValueType } from './pgoutput/column-value.ts'
import type { RelationMessage } from './pgoutput/message.ts'

/** A column of a table, as the log and the catalog know it. */
export interface Column {
  readonly name: string
  /** `pg_type.typname`: `int8`, `_int4`, a domain's or enum's own name. */
  readonly typeName: string
  readonly typeOid: number
  readonly type: ValueType
  /** `attnum`; 0 for a column that was dropped or renamed since the change was written. */
  readonly number: number
  /** Where its value stands in tuples; `null` when tuples do not have it (generated, left out by the publication, added since). */
  readonly tupleIndex: number | null
  /** Part of the replica identity; every column is when that is `full`. */
  readonly identity: boolean
  readonly generated: boolean
}

/**
 * A table as the changes that follow it were written, with what the catalog says of it now. A new object is made
 * whenever the stream describes the table again, which Postgres does before the first change after its columns, its
 * policies, its privileges or its publications changed: so what was derived from a `Table` may be kept as long as it.
 */
export interface Table {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** In the order of `attnum`. */
  readonly columns: readonly Column[]
  /** The columns of the primary key in its order; empty when there is none. */
  readonly primaryKey: readonly Column[]
  readonly rowSecurity: boolean
}

/** What the catalog says of a table that it has. */
export interface CatalogRelation {
  readonly rowSecurity: boolean
  readonly columns: readonly { readonly name: string; readonly number: number; readonly generated: boolean; readonly typeOid: number }[]
  /** `attnum`s. */
  readonly primaryKey: readonly number[]
}

export interface CatalogType {
  readonly name: string
  readonly type: ValueType
}

/** Joins what the stream and what the catalog say. Columns are matched by name. */
export function describeTable(relation: RelationMessage, facts: CatalogRelation | null, types: ReadonlyMap<number, CatalogType>): Table {
  const tupleIndexes = new Map(relation.columns.map(({ name }, index) => [name, index]))
  const columns: Column[] = (facts?.columns ?? []).map(({ name, number, generated, typeOid }) => {
    const tupleIndex = tupleIndexes.get(name) ?? null
    tupleIndexes.delete(name)
    const written = tupleIndex === null ? undefined : relation.columns[tupleIndex]
    // A full replica identity is the whole row. Generated columns belong to it, published or not.
    const identity = written?.key ?? (generated && relation.replicaIdentity === 'full')
    return describeColumn(name, written?.typeOid ?? typeOid, types, { number, generated, tupleIndex, identity })
  })
  for (const [name, tupleIndex] of tupleIndexes) {
    const { typeOid, key } = relation.columns[tupleIndex]!
    columns.push(describeColumn(name, typeOid, types, { number: 0, generated: false, tupleIndex, identity: key }))
  }
  return {
    oid: relation.oid,
    schema: relation.schema,
    name: relation.table,
    columns,
    primaryKey: primaryKeyOf(relation, facts, columns),
    rowSecurity: facts?.rowSecurity ?? false,
  }
}

function describeColumn(
  name: string,
  typeOid: number,
  types: ReadonlyMap<number, CatalogType>,
  rest: Pick<Column, 'number' | 'generated' | 'tupleIndex' | 'identity'>,
): Column {
  const facts = types.get(typeOid)
  return { name, typeOid, typeName: facts?.name ?? 'text', type: facts?.type ?? BUILTIN_TYPES.get(typeOid) ?? TEXT_TYPE, ...rest }
}

/** Of a table that is gone, only a default replica identity still holds the primary key. */
function primaryKeyOf(relation: RelationMessage, facts: CatalogRelation | null, columns: readonly Column[]): Column[] {
  if (facts === null) return relation.replicaIdentity === 'default' ? columns.filter((column) => column.identity) : []
  return facts.primaryKey.flatMap((number) => columns.find((column) => column.number === number) ?? [])
}

/** Whether SQL sends messages by rows of this table. Its changes are messages, never row changes. */
export function isMessageTable({ schema, name }: TableName): boolean {
  return schema === 'realtime' && (name === 'messages' || name.startsWith('messages_'))
}
