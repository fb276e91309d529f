import pg from 'pg'
import { arrayLiteral } from '../../subscribe/change-entry.ts'
import type { CheckAnswer, IdentityAnswer, RowCheck } from '../../decide/feed-database.ts'
import { checkStatement } from './check-function.ts'
import { fingerprintSql } from '../catalog/feed-catalog.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { transactionsSeen } from './visibility.ts'

/** The statements that a session has prepared. They go with it. */
const prepared = new WeakMap<pg.ClientBase, Set<string>>()

/**
 * Looks rows up as others where no function may be made (CREATE TEMP refused, plpgsql taken away): a statement is prepared
 * instead, and executed once per identity in a transaction of its own. One round trip for each identity.
 */
export async function checkRowsPlainly(session: pg.ClientBase, check: RowCheck, timeoutMs: number): Promise<CheckAnswer> {
  const { name, sql } = checkStatement(check.entry, check.role, check.withXmin)
  await transactionsSeen(session, check)
  await prepare(session, name, sql, check)
  const identities: IdentityAnswer[] = []
  for (const asked of check.identities) identities.push(await look(session, name, check, asked, timeoutMs))
  const { tables, functions, fingerprint } = check.entry.evidence
  const { rows } = await session.query<{ fingerprint: string }>(
    `select ${fingerprintSql('$1::pg_catalog.oid[]', '$2::pg_catalog.oid[]')} as fingerprint`,
    [tables, functions],
  )
  return { current: rows[0]!.fingerprint === fingerprint, identities }
}

async function prepare(session: pg.ClientBase, name: string, sql: string, { role, entry }: RowCheck): Promise<void> {
  let names = prepared.get(session)
  if (names === undefined) prepared.set(session, (names = new Set()))
  if (names.has(name)) return
  await session.query(`prepare ${name} as ${sql}`)
  names.add(name)
  // Planned for nobody in particular, as where there are functions.
  const nothing = entry.primaryKey.map(() => `'{}'`).join(', ')
  await execute(session, { role, claims: '{}', call: `${name}(${nothing})`, timeoutMs: 3_000 })
}

type Asked = RowCheck['identities'][number]

/** All rows at once; when that fails one by one, since a policy may fail for one row only. */
async function look(session: pg.ClientBase, name: string, check: RowCheck, asked: Asked, timeoutMs: number): Promise<IdentityAnswer> {
  const all = await lookAt(session, name, check, asked, timeoutMs)
  if (all.ok || all.timedOut || asked.rows.length === 1) return all
  const visible = new Map<number, number>()
  for (const row of asked.rows) {
    const one = await lookAt(session, name, check, { ...asked, rows: [row] }, timeoutMs)
    if (one.ok) for (const [number, xid] of one.visible) visible.set(number, xid)
  }
  return visible.size === 0 ? all : { ok: true, visible, fault: all.message }
}

async function lookAt(
  session: pg.ClientBase,
  name: string,
  { entry, keys, role }: RowCheck,
  { identity, rows }: Asked,
  timeoutMs: number,
): Promise<IdentityAnswer> {
  const columns = entry.primaryKey.map((_, column) => arrayText(rows.map((row) => keys[row]![column]!)))
  const found = await execute(session, { role, claims: identity.claims, call: `${name}(${columns.join(', ')})`, timeoutMs })
  if (!found.ok) return found
  return { ok: true, visible: new Map(found.rows.map(({ n, written }) => [rows[Number(n) - 1]!, Number(written)])) }
}

type Execution =
  | { readonly ok: true; readonly rows: readonly { readonly n: string; readonly written: string }[] }
  | { readonly ok: false; readonly message: string; readonly timedOut: boolean }

interface Call {
  readonly role: string
  readonly claims: string
  readonly call: string
  readonly timeoutMs: number
}

async function execute(session: pg.ClientBase, { role, claims, call, timeoutMs }: Call): Promise<Execution> {
  try {
    const results = (await session.query(
      `begin; set local statement_timeout = ${Math.ceil(timeoutMs)};
       select pg_catalog.set_config('request.jwt.claims', ${pg.escapeLiteral(claims)}, true), pg_catalog.set_config('role', ${pg.escapeLiteral(role)}, true);
       execute ${call}; rollback`,
    )) as unknown as pg.QueryResult[]
    return { ok: true, rows: results.at(-2)!.rows as { n: string; written: string }[] }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    await session.query('rollback')
    return { ok: false, message: error.message, timedOut: error.code === '57014' }
  }
}

function arrayText(texts: readonly string[]): string {
  return pg.escapeLiteral(arrayLiteral(texts))
}
