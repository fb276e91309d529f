import pg from 'pg'
import type { CheckAnswer, IdentityAnswer, OldRowCheck } from '../../decide/feed-database.ts'
import type { TableEntry } from '../../catalog/table-entry.ts'
import { tableSql } from './check-function.ts'
import { generatedSql } from './generated-columns.ts'
import { fingerprintSql } from '../catalog/feed-catalog.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { transactionsSeen } from './visibility.ts'

/**
 * Asks Postgres which deleted rows the identities could see (rule D14). They are in no table any more, so the policies are
 * read back as SQL and held against the row that the stream brought, as that role and with those claims.
 */
export async function checkOldRows(session: pg.ClientBase, check: OldRowCheck, timeoutMs: number): Promise<CheckAnswer> {
  await transactionsSeen(session, check)
  await session.query(
    `begin; set local statement_timeout = ${Math.ceil(timeoutMs)};
     select pg_catalog.set_config('role', ${pg.escapeLiteral(check.role)}, true)`,
  )
  try {
    const query = shownSql(check.entry, await readPolicies(session, check.entry))
    const identities: IdentityAnswer[] = []
    for (const { identity, rows } of check.identities) {
      const asked = { query, claims: identity.claims, texts: check.rows, rows }
      identities.push(await lookAtAll(session, asked))
    }
    // Only now: a function or a policy of another table counts as it was when it was looked at.
    return { current: await isCurrent(session, check.entry), identities }
  } finally {
    await session.query('rollback')
  }
}

interface Policies {
  readonly apply: boolean
  /** How generated columns are made, by name: the stream may not have them, and policies may read them. */
  readonly generated: readonly { readonly name: string; readonly sql: string }[]
  readonly permissive: readonly string[]
  readonly restrictive: readonly string[]
}

/** Read as the role that they are for: names are written as it would have to write them. */
async function readPolicies(session: pg.ClientBase, { oid }: TableEntry): Promise<Policies> {
  const { rows } = await session.query<Policies>(
    `select pg_catalog.row_security_active($1::pg_catalog.oid) as apply,
       (select coalesce(pg_catalog.json_agg(g), '[]') from (${generatedSql('$1')}) g) as generated,
       array(${policySql('polpermissive')} order by polname desc) as permissive,
       array(${policySql('not polpermissive')} order by polname) as restrictive`,
    [oid],
  )
  return rows[0]!
}

/** Whether policies and columns are still those of the entry. */
async function isCurrent(session: pg.ClientBase, { oid, columns, evidence }: TableEntry): Promise<boolean> {
  const { rows } = await session.query<{ fingerprint: string; columns: string[] }>(
    `select ${fingerprintSql('$2::pg_catalog.oid[]', '$3::pg_catalog.oid[]')} as fingerprint,
       array(select attname::pg_catalog.text from pg_catalog.pg_attribute where attrelid = $1 and attnum > 0 and not attisdropped order by attnum) as columns`,
    [oid, evidence.tables, evidence.functions],
  )
  const found = rows[0]!
  return found.fingerprint === evidence.fingerprint && found.columns.join('\0') === columns.map(({ name }) => name).join('\0')
}

function policySql(which: string): string {
  return `select coalesce(pg_catalog.pg_get_expr(polqual, polrelid), 'true') from pg_catalog.pg_policy
    where polrelid = $1 and polcmd in ('r', '*') and ${which}
      and (0 = any(polroles) or exists (select from pg_catalog.unnest(polroles) r where pg_catalog.pg_has_role(r, 'USAGE')))`
}

/**
 * The numbers of the rows, from 1, that the policies show. A policy names its table's columns bare or by the table's name.
 * They come in the order in which Postgres takes them, so that one that fails is not reached where it would not be.
 */
function shownSql(entry: TableEntry, { apply, generated, permissive, restrictive }: Policies): string {
  const any = permissive.length === 0 ? 'false' : permissive.map((sql) => `(${sql})`).join(' or ')
  const shown = apply ? restrictive.reduceRight((rest, sql) => `case when (${sql}) then ${rest} end`, any) : 'true'
  const name = pg.escapeIdentifier(entry.name)
  const told = `pg_catalog.unnest(array[($1::pg_catalog.text[])[given.at]]::${tableSql(entry)}[]) ${name}`
  const made = new Map(generated.map((column) => [column.name, column.sql]))
  const columns = entry.columns.map((column) => {
    const sql = made.get(column.name)
    return `${sql === undefined ? '' : `(${sql}) as `}${pg.escapeIdentifier(column.name)}`
  })
  const row = made.size === 0 ? told : `(select ${columns.join(', ')} from ${told}) ${name}`
  return `select given.at from pg_catalog.generate_subscripts($1::pg_catalog.text[], 1) given (at) where exists (select from ${row} where ${shown})`
}

interface Look {
  readonly query: string
  readonly claims: string
  readonly texts: readonly string[]
  /** The numbers of those texts that are asked for. */
  readonly rows: readonly number[]
}

/** All rows at once; when that fails one by one, since a policy may fail for one row only. */
async function lookAtAll(session: pg.ClientBase, asked: Look): Promise<IdentityAnswer> {
  const all = await look(session, asked)
  if (all.ok || all.timedOut || asked.rows.length === 1) return all
  const visible = new Map<number, number>()
  for (const row of asked.rows) {
    const one = await look(session, { ...asked, rows: [row] })
    if (one.ok) for (const [number] of one.visible) visible.set(number, 0)
  }
  return { ok: true, visible, fault: all.message }
}

async function look(session: pg.ClientBase, { query, claims, texts, rows }: Look): Promise<IdentityAnswer> {
  await session.query(`savepoint one; select pg_catalog.set_config('request.jwt.claims', ${pg.escapeLiteral(claims)}, true)`)
  try {
    const found = await session.query<{ at: number }>(query, [rows.map((row) => texts[row]!)])
    return { ok: true, visible: new Map(found.rows.map(({ at }) => [rows[at - 1]!, 0])) }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    await session.query('rollback to savepoint one')
    return { ok: false, message: (error as Error).message, timedOut: (error as { code?: string }).code === '57014' }
  }
}
