import pg from 'pg'
import { arrayLiteral } from '../../subscribe/request/change-entry.ts'
import type { CheckAnswer, Grant, IdentityAnswer, RowCheck } from '../../decide/feed-database.ts'
import { checkStatement } from './check-function.ts'
import { loadPolicyVersions } from '../catalog/policy-version.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { readSeen, type WrittenImages } from './row-image.ts'
import type { Patience } from './patience.ts'
import { transactionsSeen } from './visibility.ts'

/** The statements that a session has prepared. They go with it. */
const prepared = new WeakMap<pg.ClientBase, Set<string>>()

/**
 * Looks rows up as others where no function may be made (CREATE TEMP refused, plpgsql taken away): a statement is prepared
 * instead, and executed once per identity in a transaction of its own. One round trip for each identity.
 */
export async function checkRowsPlainly(
  session: pg.ClientBase,
  check: RowCheck,
  written: WrittenImages,
  patience: Patience,
): Promise<CheckAnswer> {
  const { entry, role } = check
  const { name, sql } = checkStatement(entry, role, check.columns, written.masked)
  await transactionsSeen(session, check)
  const [before] = await loadPolicyVersions(session, entry.reach, [role])
  const refusal = await prepare(session, name, sql, check)
  const identities: IdentityAnswer[] = []
  const { timeoutMs, isolates } = patience
  for (const asked of check.identities) {
    const last = identities.at(-1)
    if (!isolates && last?.ok === false && last.timedOut) identities.push(last)
    else identities.push(refusal ?? (await look(session, { name, check, written, timeoutMs }, asked)))
  }
  const [after] = await loadPolicyVersions(session, entry.reach, [role])
  const version = entry.roles.get(role)?.version
  return { current: before === version && after === version, identities }
}

interface Look {
  readonly name: string
  readonly check: RowCheck
  readonly written: WrittenImages
  readonly timeoutMs: number
}

/** As the role, whose the right to name the table has to be; the refusal where it is not. */
async function prepare(session: pg.ClientBase, name: string, sql: string, { role, entry }: RowCheck): Promise<IdentityAnswer | null> {
  let names = prepared.get(session)
  if (names === undefined) prepared.set(session, (names = new Set()))
  if (names.has(name)) return null
  await session.query(`begin; select pg_catalog.set_config('role', ${pg.escapeLiteral(role)}, true)`)
  try {
    await session.query(`prepare ${name} as ${sql}`)
  } catch (error) {
    if (!isStatementFault(error)) throw error
    return { ok: false, message: error.message, timedOut: false }
  } finally {
    await session.query('rollback')
  }
  names.add(name)
  // Planned for nobody in particular, as where there are functions.
  const nothing = entry.primaryKey.map(() => `'{}'`).join(', ')
  await execute(session, { role, claims: '{}', call: `${name}('{}', '{}', ${nothing})`, timeoutMs: 3_000 })
  return null
}

type Asked = RowCheck['identities'][number]

/** All rows at once; when that fails one by one, since a policy may fail for one row only. */
async function look(session: pg.ClientBase, how: Look, asked: Asked): Promise<IdentityAnswer> {
  const all = await lookAt(session, how, asked)
  if (all.ok || all.timedOut || asked.rows.length === 1) return all
  const visible = new Map<number, Grant>()
  for (const row of asked.rows) {
    const one = await lookAt(session, how, { ...asked, rows: [row] })
    if (one.ok) for (const [number, grant] of one.visible) visible.set(number, grant)
  }
  return visible.size === 0 ? all : { ok: true, visible, fault: all.message }
}

async function lookAt(
  session: pg.ClientBase,
  { name, check, written, timeoutMs }: Look,
  { identity, rows }: Asked,
): Promise<IdentityAnswer> {
  const { entry, keys, role } = check
  const columns = [
    rows.map((row) => written.images[row]!),
    written.masked ? rows.map((row) => written.missing[row]!) : [],
    ...entry.primaryKey.map((_, column) => rows.map((row) => keys[row]![column]!)),
  ]
  const found = await execute(session, { role, claims: identity.claims, call: `${name}(${columns.map(arrayText).join(', ')})`, timeoutMs })
  if (!found.ok) return found
  return {
    ok: true,
    visible: readSeen(
      check,
      rows,
      found.rows.map(({ seen }) => seen),
    ),
  }
}

type Execution =
  | { readonly ok: true; readonly rows: readonly { readonly seen: string }[] }
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
    return { ok: true, rows: results.at(-2)!.rows as { seen: string }[] }
  } catch (error) {
    if (!isStatementFault(error)) throw error
    await session.query('rollback')
    return { ok: false, message: error.message, timedOut: error.code === '57014' }
  }
}

function arrayText(texts: readonly (string | null)[]): string {
  return pg.escapeLiteral(arrayLiteral(texts))
}
