import pg from 'pg'
import type { CatalogTable } from '../../catalog/catalog-table.ts'

type Named = Pick<CatalogTable, 'schema' | 'name'>

export function tableSql({ schema, name }: Named): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`
}

/** The table's own rows: one that inherits from it may have a row with the same key. */
export function rowsSql(table: Named & Pick<CatalogTable, 'partitioned'>): string {
  return table.partitioned ? tableSql(table) : `only ${tableSql(table)}`
}

/** A value as its type writes it, as the stream does: a cast to text may write it otherwise (`true` for `t`). */
export function textSql(value: string): string {
  return `case when ${value} is not distinct from null then null else pg_catalog.format('%s', ${value}) end`
}

/**
 * A FROM clause with one row `r` of the columns `selected` for each row of the table (`t`) whose key is in `keys`, arrays in SQL,
 * one for each column of the key. `k.n` is the number of the key, from 1.
 *
 * `offset 0` has each key looked up by itself: joined, a plan that was made for a small table would read, and ask the policies
 * about, all rows of a large one.
 */
export function keyedRowsSql(table: CatalogTable, keys: readonly string[], selected: readonly string[], equals = '='): string {
  const columns = keys.map((_, index) => `c${index}`)
  const on = table.primaryKey.map(({ name, typeSql }, index) => `t.${pg.escapeIdentifier(name)} ${equals} k.c${index}::${typeSql}`)
  const arrays = keys.map((array) => `pg_catalog.unnest(${array})`)
  return `from rows from (${arrays.join(', ')}) with ordinality k (${[...columns, 'n'].join(', ')}),
    lateral (select ${selected.join(', ')} from ${rowsSql(table)} t where ${on.join(' and ')} offset 0) r`
}
