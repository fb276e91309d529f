import type pg from 'pg'
import { arrayLiteral } from '../feed/change-entry.ts'
import type { CheckAnswer, IdentityAnswer, RowCheck } from '../feed/feed-database.ts'
import { untilSeen } from './visibility.ts'
import { checkRowsPlainly } from './plain-checker.ts'
import { isStatementFault } from './statement-fault.ts'
import { checkFunction, hasPlainKey, type CheckFunction } from './check-function.ts'

/** The functions that a session has. They live in `pg_temp`: nobody else sees them, and they go with the session. */
const installed = new WeakMap<pg.ClientBase, Set<string>>()

/** Sessions that may not make functions: a prepared statement takes their place. */
const withoutFunctions = new WeakSet<pg.ClientBase>()

/** A call looks at most at so many rows, counted per identity, so that no call takes long. */
const MAX_PAIRS = 10_000
/** Identities that ask for the same rows go in one call when there are so many of them. */
const SHARED_ROWS_FROM = 4

type Asked = RowCheck['identities'][number] & { readonly index: number }

/**
 * Asks Postgres which rows the identities see. `timeoutMs` is for an identity alone, when it is found out which one takes
 * too long; the session's own timeout is for a whole call.
 */
export async function checkRows(session: pg.ClientBase, check: RowCheck, timeoutMs: number): Promise<CheckAnswer> {
  const checkSql = checkFunction(check.entry, check.role, check.withXmin)
  if (!(await install(session, checkSql, check))) return checkRowsPlainly(session, check, timeoutMs)
  const answers: IdentityAnswer[] = []
  let current = true
  for (const asked of callsOf(check)) {
    const answer = await callOrIsolate(session, checkSql, check, asked, timeoutMs)
    current &&= answer.current
    asked.forEach(({ index }, at) => (answers[index] = answer.identities[at]!))
    if (!current) break
  }
  return { current, identities: answers }
}

/** False: this session may not have any. */
async function install(session: pg.ClientBase, { name, sql }: CheckFunction, { role, entry }: RowCheck): Promise<boolean> {
  let names = installed.get(session)
  if (names === undefined) installed.set(session, (names = new Set()))
  if (names.has(name)) return true
  if (withoutFunctions.has(session)) return false
  try {
    await session.query(sql)
  } catch (error) {
    if (!isStatementFault(error) || !/^(42501|25006)$/.test(error.code ?? '')) throw error
    withoutFunctions.add(session)
    return false
  }
  names.add(name)
  // While it plans, Postgres tries parts of policies out. Planned for nobody in particular, the statement does not fail
  // for somebody because of a part that would not have been reached.
  const nothing = entry.primaryKey.map((_, column) => `$${column + 2}`).join(', ')
  const planning = session.query(`select from ${name}($1, array['{}'], null, '{}', ${nothing}, false)`, [
    role,
    ...entry.primaryKey.map(() => '{}'),
  ])
  await planning.catch((error: unknown) => {
    if (!isStatementFault(error)) throw error
  })
  return true
}

/** Dense calls first: all of their identities ask for the same rows. The rest is told row by row. */
function callsOf(check: RowCheck): Asked[][] {
  const bySignature = new Map<string, Asked[]>()
  check.identities.forEach((asked, index) => {
    const signature = asked.rows.join()
    const group = bySignature.get(signature)
    if (group === undefined) bySignature.set(signature, [{ ...asked, index }])
    else group.push({ ...asked, index })
  })
  const calls: Asked[][] = []
  const rest: Asked[] = []
  for (const group of bySignature.values()) {
    if (group.length >= SHARED_ROWS_FROM) calls.push(...chunks(group))
    else rest.push(...group)
  }
  return [...calls, ...chunks(rest)]
}

function chunks(asked: readonly Asked[]): Asked[][] {
  const result: Asked[][] = []
  let pairs = Infinity
  for (const each of asked) {
    if (pairs + each.rows.length > MAX_PAIRS) {
      result.push([])
      pairs = 0
    }
    result.at(-1)!.push(each)
    pairs += each.rows.length
  }
  return result
}

/** All at once; when that fails, so that only those are refused whose policies fail. */
async function callOrIsolate(
  session: pg.ClientBase,
  checkSql: CheckFunction,
  check: RowCheck,
  asked: readonly Asked[],
  timeoutMs: number,
): Promise<CheckAnswer> {
  try {
    return await call(session, checkSql, check, asked, false)
  } catch (error) {
    if (!isStatementFault(error)) throw error
    if (isTimeout(error)) return oneByOne(session, checkSql, check, asked, timeoutMs)
  }
  try {
    return await retryRows(session, checkSql, check, asked, await call(session, checkSql, check, asked, true))
  } catch (error) {
    if (!isStatementFault(error)) throw error
  }
  return oneByOne(session, checkSql, check, asked, timeoutMs)
}

/** A policy may fail for one row only; the others are still to be seen. */
async function retryRows(
  session: pg.ClientBase,
  checkSql: CheckFunction,
  check: RowCheck,
  asked: readonly Asked[],
  answer: CheckAnswer,
): Promise<CheckAnswer> {
  const identities = [...answer.identities]
  let { current } = answer
  for (const [at, each] of asked.entries()) {
    const refused = identities[at]!
    if (refused.ok || each.rows.length === 1) continue
    const visible = new Map<number, number>()
    for (const row of each.rows) {
      const single = await call(session, checkSql, check, [{ ...each, rows: [row] }], true)
      current &&= single.current
      const [found] = single.identities
      if (found!.ok) for (const [number, xid] of found!.visible) visible.set(number, xid)
    }
    if (visible.size > 0) identities[at] = { ok: true, visible, fault: refused.message }
  }
  return { current, identities }
}

async function oneByOne(
  session: pg.ClientBase,
  checkSql: CheckFunction,
  check: RowCheck,
  asked: readonly Asked[],
  timeoutMs: number,
): Promise<CheckAnswer> {
  const identities: IdentityAnswer[] = []
  let current = true
  for (const each of asked) {
    await session.query(`begin; set local statement_timeout = ${Math.ceil(timeoutMs)}`)
    try {
      const answer = await call(session, checkSql, check, [each], true)
      current &&= answer.current
      identities.push(answer.identities[0]!)
    } catch (error) {
      if (!isStatementFault(error)) throw error
      identities.push({ ok: false, message: (error as Error).message, timedOut: isTimeout(error) })
    } finally {
      await session.query('rollback')
    }
  }
  return { current, identities }
}

interface CheckRow {
  readonly i: number
  readonly seen: string[] | null
  readonly fault: string | null
}

async function call(
  session: pg.ClientBase,
  { name }: CheckFunction,
  check: RowCheck,
  asked: readonly Asked[],
  guarded: boolean,
): Promise<CheckAnswer> {
  const { entry, keys, role } = check
  const shared =
    asked.length >= SHARED_ROWS_FROM && asked.every(({ rows }) => rows === asked[0]!.rows || rows.join() === asked[0]!.rows.join())
  const rows = shared ? asked[0]!.rows : asked.flatMap((each) => each.rows)
  let offset = 0
  const offsets = shared ? null : [0, ...asked.map((each) => (offset += each.rows.length))]
  const columns = entry.primaryKey.map((_, column) => arrayLiteral(rows.map((row) => keys[row]![column]!)))
  const places = columns.map((_, column) => `$${column + 5}`).join(', ')
  const query = {
    name: `${name}.${guarded}`,
    text: `select i, seen, fault from ${name}($1, $2, $3, $4, ${places}, ${guarded})`,
    values: [role, asked.map(({ identity }) => identity.claims), offsets, check.xids, ...columns],
  }
  let found: readonly CheckRow[] = []
  await untilSeen(async () => {
    found = (await session.query<CheckRow>(query)).rows
    return found[0]?.i !== -1
  })
  const answers: IdentityAnswer[] = asked.map(() => ({ ok: true, visible: new Map() }))
  let current = false
  const plain = hasPlainKey(entry) && !check.withXmin
  for (const { i, seen, fault } of found) {
    if (i === 0) current = seen?.[0] === entry.evidence.fingerprint
    else if (fault !== null) answers[i - 1] = { ok: false, message: fault, timedOut: false }
    else
      answers[i - 1] = {
        ok: true,
        visible: plain ? byKey(check, asked[i - 1]!.rows, seen ?? []) : byNumber(asked[i - 1]!.rows, seen ?? []),
      }
  }
  return { current, identities: answers }
}

function byKey({ keys }: RowCheck, rows: readonly number[], seen: readonly string[]): Map<number, number> {
  const texts = new Set(seen)
  return new Map(rows.filter((row) => texts.has(keys[row]![0]!)).map((row) => [row, 0]))
}

/** `n:xid`, n counting the identity's rows from 1. */
function byNumber(rows: readonly number[], seen: readonly string[]): Map<number, number> {
  return new Map(
    seen.map((text) => {
      const [number, xid] = text.split(':') as [string, string]
      return [rows[Number(number) - 1]!, Number(xid)]
    }),
  )
}

function isTimeout(error: unknown): boolean {
  return (error as { code?: string }).code === '57014'
}
