import pg from 'pg'
import type { CastQuestion, WrittenRow } from '../../decide/feed-database.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import { keyedRowsSql, textSql } from '../catalog/table-sql.ts'
import { evaluated, type StatementTime } from './evaluated.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { transactionsVisible } from './visibility.ts'

/** See {@link RowChecks.jsonOf}. */
export async function jsonOf(session: pg.ClientBase, question: CastQuestion, time: StatementTime): Promise<(string | undefined)[]> {
  const json = await castAs(session, question.typeSql, question, time)
  if (json.some((text) => text !== undefined)) return json
  // The type may have another name by now.
  const { rows } = await session.query<{ name: string }>(
    `select pg_catalog.format('%I.%I', n.nspname, t.typname) as name
     from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace where t.oid = $1`,
    [question.typeOid],
  )
  const name = rows[0]?.name ?? question.typeSql
  return name === question.typeSql ? json : castAs(session, name, question, time)
}

async function castAs(
  session: pg.ClientBase,
  typeSql: string,
  { role, texts }: CastQuestion,
  time: StatementTime,
): Promise<(string | undefined)[]> {
  // Equal to `to_jsonb` as JSON, with the keys of rows in the order of the attributes.
  const sql = `select pg_catalog.to_json(v.text::${typeSql})::text as json from pg_catalog.unnest($1::text[]) with ordinality v (text, n) order by n`
  const rows = await evaluated<{ json: string | null }>(session, { role, ...time, sql, texts })
  return rows.map((row) => (row === null ? undefined : (row.json ?? 'null')))
}

/** See {@link RowChecks.generated}. */
export async function generatedColumns(
  session: pg.ClientBase,
  table: CatalogTable,
  columns: readonly string[],
  rows: readonly WrittenRow[],
): Promise<Map<number, Map<string, string>>> {
  await transactionsVisible(session, { xids: [...new Set(rows.map(({ xid }) => xid))], waits: true })
  const values = columns.map((name, index) => `pg_catalog.to_jsonb(t.${pg.escapeIdentifier(name)})::text as v${index}`)
  const compared = table.columns.flatMap(({ number, name }, index) =>
    rows.some((row) => row.published.has(number)) ? [`${textSql(`t.${pg.escapeIdentifier(name)}`)} as p${index}`] : [],
  )
  const found = await lookUp(
    session,
    table,
    [...values, ...compared],
    rows.map(({ key }) => key),
  )
  const texts = new Map<number, Map<string, string>>()
  for (const { n, written, ...row } of found) {
    const { xid, published } = rows[n - 1]!
    // A row that was written again, also by the same transaction, is not the row of the change. Its users may lack the right to see it.
    const isSame = table.columns.every(({ number }, index) => !published.has(number) || published.get(number) === row[`p${index}`])
    if (Number(written) !== xid || !isSame) continue
    texts.set(n - 1, new Map(columns.map((name, index) => [name, row[`v${index}`] ?? 'null'])))
  }
  return texts
}

type FoundRow = Record<`v${number}` | `p${number}`, string | null> & { readonly n: number; readonly written: string }

/** Rows by their keys, with the transaction that wrote them last; none where the login may not read them. */
async function lookUp(
  session: pg.ClientBase,
  table: CatalogTable,
  values: readonly string[],
  keys: readonly (readonly string[])[],
): Promise<readonly FoundRow[]> {
  const arrays = table.primaryKey.map((_, index) => `$${index + 1}::text[]`)
  const sql = `select k.n::int4 as n, r.* ${keyedRowsSql(table, arrays, ['t.xmin::text as written', ...values])}`
  try {
    const parameters = arrays.map((_, index) => keys.map((key) => key[index]!))
    return (await session.query<FoundRow>(sql, parameters)).rows
  } catch (error) {
    if (!isStatementFault(error)) throw error
    return []
  }
}
