import pg from 'pg'
import { presentColumns, rowText } from '../../replication/change-row.ts'
import type { GeneratedQuestion } from '../../decide/feed-database.ts'
import type { Table } from '../../replication/table.ts'
import { tableSql } from '../catalog/table-sql.ts'
import { evaluated, type StatementTime } from './evaluated.ts'

/** A generated column and its expression. */
interface GeneratedColumn {
  readonly name: string
  readonly sql: string
  /** The columns that it reads, by `attnum`; 0: the whole row. */
  readonly reads: readonly number[]
}

/** SQL that reads the generated columns of a table, with names as this session must write them. `table` is the SQL of its oid. */
export function generatedSql(table: string): string {
  return `select a.attname::pg_catalog.text as name, pg_catalog.pg_get_expr(d.adbin, d.adrelid) as sql,
    array(select distinct m[1]::pg_catalog.int4 from pg_catalog.regexp_matches(d.adbin::pg_catalog.text, ':varattno (-?\\d+)', 'g') m) as reads
  from pg_catalog.pg_attribute a join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = ${table} and a.attgenerated <> '' and not a.attisdropped order by a.attnum`
}

const known = new WeakMap<Table, readonly GeneratedColumn[]>()

/** See {@link RowChecks.computed}. */
export async function computedColumns(
  session: pg.ClientBase,
  { table, role, columns, rows }: GeneratedQuestion,
  time: StatementTime,
): Promise<Map<number, Map<string, string>>> {
  let all = known.get(table)
  if (all === undefined) known.set(table, (all = (await session.query<GeneratedColumn>(generatedSql('$1'), [table.oid])).rows))
  const wanted = all.filter(({ name }) => columns.includes(name))
  const present = presentColumns(table)
  const isComputable = (row: GeneratedQuestion['rows'][number], { reads }: GeneratedColumn): boolean =>
    present.every(({ number, generated }, at) => row[at] !== undefined || generated || !(reads.includes(number) || reads.includes(0)))
  const asked = rows.flatMap((row, index) => {
    const computable = wanted.filter((column) => isComputable(row, column))
    return computable.length === 0 ? [] : [{ index, computable: new Set(computable), text: rowText(row) }]
  })
  const found = new Map<number, Map<string, string>>()
  const computed = await evaluated<Record<`v${number}`, string>>(session, {
    role,
    ...time,
    sql: madeSql(table, wanted),
    texts: asked.map(({ text }) => text),
  })
  for (const [at, { index, computable }] of asked.entries()) {
    const values = computed[at] ?? null
    if (values === null) continue
    found.set(index, new Map(wanted.flatMap((column, number) => (computable.has(column) ? [[column.name, values[`v${number}`]!]] : []))))
  }
  return found
}

/** One row for each of the texts `$1`, with the JSON texts of the columns. */
function madeSql(table: Table, wanted: readonly GeneratedColumn[]): string {
  const values = wanted.map(({ sql }, at) => `coalesce(pg_catalog.to_jsonb(${sql})::pg_catalog.text, 'null') as v${at}`)
  const row = `pg_catalog.unnest(array[given.row]::${tableSql(table)}[]) ${pg.escapeIdentifier(table.name)}`
  return `select made.* from pg_catalog.unnest($1::pg_catalog.text[]) with ordinality given (row, n),
    lateral (select ${values.join(', ')} from ${row}) made order by given.n`
}
