import pg from 'pg'
import { rowText } from '../../replication/change-row.ts'
import type { CheckAnswer, IdentityAnswer, OldRowCheck, RowCheck } from '../../decide/feed-database.ts'
import type { CatalogTable } from '../../catalog/catalog-table.ts'
import { rowsSql, tableSql } from '../catalog/table-sql.ts'
import { generatedSql } from './generated-columns.ts'
import type { SessionPool } from '../sessions/session-pool.ts'
import { beginAs } from '../sessions/as-identity.ts'
import { askInHalves, eachInTurn, failedAnswer, type CheckOptions } from './identity-answers.ts'
import { isCurrent } from './version-checker.ts'
import { transactionsVisible } from './visibility.ts'

/**
 * Asks Postgres for which old rows (rules D6 and D14) the policies are true. They are in no table any more, so the policies are
 * read back as SQL and evaluated over the row that the stream brought, as that role and with those claims. Policies of the row
 * itself grant its content; those that read other tables, which may have changed since, its key; opaque ones nothing.
 */
export async function checkOldRows(session: pg.ClientBase, check: OldRowCheck, options: CheckOptions): Promise<CheckAnswer> {
  const scope = check.table.roles.get(check.role)?.scope ?? 'opaque'
  await transactionsVisible(session, check)
  try {
    await session.query(beginAs({ role: check.role, settings: {} }, options.timeoutMs, 'read write'))
    const identities = scope === 'opaque' ? check.identities.map(nothingVisible) : await askEach(session, check, scope, options)
    // Checked last, so that a change during the evaluation is seen.
    return { current: await isCurrent(session, check), identities }
  } finally {
    await session.query('rollback')
  }
}

function nothingVisible(): IdentityAnswer {
  return { ok: true, visible: new Map() }
}

async function askEach(
  session: pg.ClientBase,
  check: OldRowCheck,
  scope: 'row' | 'analysed',
  options: CheckOptions,
): Promise<IdentityAnswer[]> {
  const query = shownSql(check.table, check.role, await readPolicies(session, check.table))
  const grant = scope === 'row' ? 'image' : 'key'
  return eachInTurn(check.identities, options, async ({ identity, rows }) => {
    return askInHalves(rows, options.until, async (some) => {
      await session.query(`savepoint one; select pg_catalog.set_config('request.jwt.claims', ${pg.escapeLiteral(identity.claims)}, true)`)
      try {
        const found = await session.query<{ at: number }>(query, [some.map((row) => check.rows[row]!)])
        return { ok: true, visible: new Map(found.rows.map(({ at }) => [some[at - 1]!, grant])) }
      } catch (error) {
        const answer = failedAnswer(error)
        await session.query('rollback to savepoint one')
        return answer
      }
    })
  })
}

/**
 * Rows that were written again are granted with the content of the change where the policies are made of the row alone and are
 * true for that content.
 */
export async function byImages(sessions: SessionPool, check: RowCheck, answer: CheckAnswer, options: CheckOptions): Promise<CheckAnswer> {
  if (check.table.roles.get(check.role)?.scope !== 'row') return answer
  const texts: string[] = []
  const numbers = new Map<number, number | null>()
  const numberOf = (row: number): number | null => {
    let number = numbers.get(row)
    if (number === undefined) {
      const text = rowTypeText(check, row)
      numbers.set(row, (number = text === null ? null : texts.push(text) - 1))
    }
    return number
  }
  const asked = check.identities.flatMap(({ identity }, index) => {
    const one = answer.identities[index]!
    if (!one.ok) return []
    const rows: { readonly row: number; readonly number: number }[] = []
    for (const [row, grant] of one.visible) {
      const number = grant === 'image' ? null : numberOf(row)
      if (number !== null) rows.push({ row, number })
    }
    return rows.length === 0 ? [] : [{ identity, index, rows }]
  })
  if (asked.length === 0) return answer
  const { table, role, xids, waits } = check
  const identities = asked.map(({ identity, rows }) => ({ identity, rows: rows.map(({ number }) => number) }))
  const images = await sessions.withSession((session) =>
    checkOldRows(session, { table, role, xids, waits, rows: texts, identities }, options),
  )
  const granted = [...answer.identities]
  for (const [at, { index, rows }] of asked.entries()) {
    const before = granted[index]!
    const shown = images.identities[at]!
    if (!before.ok || !shown.ok) continue
    const visible = new Map(before.visible)
    for (const { row, number } of rows) if (shown.visible.get(number) === 'image') visible.set(row, 'image')
    granted[index] = { ...before, visible }
  }
  return { ...answer, current: answer.current && images.current, identities: granted }
}

/** The image as the text of a value of the table's row type; `null` when not all of the row is known. */
function rowTypeText({ table, columns, images }: RowCheck, row: number): string | null {
  const image = images[row]!
  const texts = table.columns.map(({ number }) => image[columns.indexOf(number)])
  return texts.some((text, index) => text === undefined && !table.columns[index]!.generated) ? null : rowText(texts)
}

interface Policies {
  readonly apply: boolean
  /** How generated columns are made, by name: the stream may not have them, and policies may read them. */
  readonly generated: readonly { readonly name: string; readonly sql: string }[]
  readonly permissive: readonly string[]
  readonly restrictive: readonly string[]
}

/** Read as the role that they are for: names are written as it would have to write them. */
async function readPolicies(session: pg.ClientBase, { oid }: CatalogTable): Promise<Policies> {
  const { rows } = await session.query<Policies>(
    `select pg_catalog.row_security_active($1::pg_catalog.oid) as apply,
       (select coalesce(pg_catalog.json_agg(g), '[]') from (${generatedSql('$1')}) g) as generated,
       array(${policySql('polpermissive')} order by polname desc) as permissive,
       array(${policySql('not polpermissive')} order by polname) as restrictive`,
    [oid],
  )
  return rows[0]!
}

function policySql(which: string): string {
  return `select coalesce(pg_catalog.pg_get_expr(polqual, polrelid), 'true') from pg_catalog.pg_policy
    where polrelid = $1 and polcmd in ('r', '*') and ${which}
      and (0 = any(polroles) or exists (select from pg_catalog.unnest(polroles) r where pg_catalog.pg_has_role(r, 'USAGE')))`
}

/**
 * The numbers of the rows, from 1, that the policies show. A policy names its table's columns bare or by the table's name.
 * Policies are evaluated in Postgres's order. A failing one is reached only where Postgres would reach it.
 */
function shownSql(table: CatalogTable, role: string, { apply, generated, permissive, restrictive }: Policies): string {
  const any = permissive.length === 0 ? 'false' : permissive.map((sql) => `(${sql})`).join(' or ')
  const shown = apply ? restrictive.reduceRight((rest, sql) => `case when (${sql}) then ${rest} end`, any) : 'true'
  const name = pg.escapeIdentifier(table.name)
  const given = `pg_catalog.unnest(array[($1::pg_catalog.text[])[given.at]]::${tableSql(table)}[]) ${name}`
  const made = new Map(generated.map((column) => [column.name, column.sql]))
  const columns = table.columns.map((column) => {
    const sql = made.get(column.name)
    return `${sql === undefined ? '' : `(${sql}) as `}${pg.escapeIdentifier(column.name)}`
  })
  const row = made.size === 0 ? given : `(select ${columns.join(', ')} from ${given}) ${name}`
  // Policies are evaluated over a value, which asks for no privilege on the table: so the last condition checks the privilege.
  const selected = table.columns
    .filter(({ rolesWithSelect }) => rolesWithSelect.has(role))
    .map((column) => `t.${pg.escapeIdentifier(column.name)}`)
  return `select given.at from pg_catalog.generate_subscripts($1::pg_catalog.text[], 1) given (at) where exists (select from ${row} where ${shown})
    and not exists (select ${selected.join(', ')} from ${rowsSql(table)} t where false)`
}
