import type pg from 'pg'
import { arrayLiteral } from '../../subscribe/request/change-entry.ts'
import type { CheckAnswer, Grant, IdentityAnswer, RowCheck } from '../../decide/feed-database.ts'
import type { SessionPool } from '../sessions/feed-sessions.ts'
import { untilSeen } from './visibility.ts'
import { checkRowsPlainly } from './plain-checker.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { checkFunction, type CheckFunction } from './check-function.ts'
import { byImages } from './image-checker.ts'
import type { Patience } from './patience.ts'
import { readSeen, writeImages, type WrittenImages } from './row-image.ts'

/** The functions that a session has. They live in `pg_temp`: nobody else sees them, and they go with the session. */
const installed = new WeakMap<pg.ClientBase, Set<string>>()

/** Sessions that may not make functions: a prepared statement takes their place. */
const withoutFunctions = new WeakSet<pg.ClientBase>()

/** What a call may cost, so that none takes long and sessions can share them: a row for an identity is one, the identity itself some more. */
const MAX_COST = 20_000
const IDENTITY_COST = 40
/** Sessions for one question, where they are free. */
const MAX_LANES = 2

type Asked = RowCheck['identities'][number] & { readonly index: number }

/**
 * Asks Postgres which rows the identities see. `patience.timeoutMs` is for an identity alone, when it is found out which one takes
 * too long; the session's own timeout is for a whole call.
 */
export async function checkRows(sessions: SessionPool, check: RowCheck, patience: Patience): Promise<CheckAnswer> {
  const written = writeImages(check)
  const asks: Asking = { check, written, sql: checkFunction(check.entry, check.role, check.columns, written.masked), patience }
  const answers: IdentityAnswer[] = []
  let [current, slow] = [true, false]
  const calls = callsOf(check)
  let next = 0
  const lane = async (session: pg.ClientBase): Promise<void> => {
    const hasFunctions = await install(session, asks)
    while (current && next < calls.length) {
      const asked = calls[next++]!
      const answer = hasFunctions
        ? await callOrIsolate(session, asks, asked)
        : await checkRowsPlainly(session, { ...check, identities: asked }, written, patience)
      current &&= answer.current
      slow ||= answer.slow === true
      asked.forEach(({ index }, at) => (answers[index] = answer.identities[at]!))
    }
  }
  const lanes = [sessions.withSession(lane)]
  while (lanes.length < Math.min(MAX_LANES, calls.length) && sessions.hasFree()) lanes.push(sessions.withSession(lane))
  // None goes on behind the back of whoever asks again.
  for (const outcome of await Promise.allSettled(lanes)) if (outcome.status === 'rejected') throw outcome.reason
  const answer = { current, slow, identities: answers }
  return current ? byImages(sessions, check, answer, patience) : answer
}

/** One check, and how it is asked. */
interface Asking {
  readonly check: RowCheck
  readonly written: WrittenImages
  readonly sql: CheckFunction
  readonly patience: Patience
}

/** False: this session may not have any. */
async function install(session: pg.ClientBase, { sql: { name, sql }, check: { role, entry } }: Asking): Promise<boolean> {
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
  const planning = session.query(`select from ${name}($1, array['{}'], '{1}', '{0,0}', '{}', '{}', '{}', ${nothing}, false)`, [
    role,
    ...entry.primaryKey.map(() => '{}'),
  ])
  await planning.catch((error: unknown) => {
    if (!isStatementFault(error)) throw error
  })
  return true
}

/** Identities that ask for the same rows stand together. */
function callsOf(check: RowCheck): Asked[][] {
  const byRows = new Map<readonly number[], Asked[]>()
  const bySignature = new Map<string, Asked[]>()
  check.identities.forEach((asked, index) => {
    let group = byRows.get(asked.rows)
    if (group === undefined) {
      const signature = asked.rows.join()
      group = bySignature.get(signature)
      if (group === undefined) bySignature.set(signature, (group = []))
      byRows.set(asked.rows, group)
    }
    // From here on, the same rows are the same array.
    group.push({ identity: asked.identity, rows: group[0]?.rows ?? asked.rows, index })
  })
  const calls: Asked[][] = []
  let cost = Infinity
  for (const group of bySignature.values()) {
    for (const each of group) {
      if (cost > MAX_COST) {
        calls.push([])
        cost = 0
      }
      calls.at(-1)!.push(each)
      cost += each.rows.length + IDENTITY_COST
    }
  }
  return calls
}

/** All at once; when that fails, so that only those are refused whose policies fail. */
async function callOrIsolate(session: pg.ClientBase, asks: Asking, asked: readonly Asked[]): Promise<CheckAnswer> {
  try {
    return await call(session, asks, asked, false)
  } catch (error) {
    if (!isStatementFault(error)) throw error
    if (isTimeout(error)) return asks.patience.isolates ? oneByOne(session, asks, asked) : allTimedOut(asked, error)
  }
  try {
    return await retryRows(session, asks, asked, await call(session, asks, asked, true))
  } catch (error) {
    if (!isStatementFault(error)) throw error
  }
  return oneByOne(session, asks, asked)
}

function allTimedOut(asked: readonly unknown[], { message }: { readonly message: string }): CheckAnswer {
  return { current: true, identities: asked.map(() => ({ ok: false, message, timedOut: true })) }
}

/** A policy may fail for one row only; the others are still to be seen. */
async function retryRows(session: pg.ClientBase, asks: Asking, asked: readonly Asked[], answer: CheckAnswer): Promise<CheckAnswer> {
  const identities = [...answer.identities]
  let { current } = answer
  for (const [at, each] of asked.entries()) {
    const refused = identities[at]!
    if (refused.ok || each.rows.length === 1) continue
    const visible = new Map<number, Grant>()
    for (const row of each.rows) {
      const single = await call(session, asks, [{ ...each, rows: [row] }], true)
      current &&= single.current
      const [found] = single.identities
      if (found!.ok) for (const [number, grant] of found!.visible) visible.set(number, grant)
    }
    if (visible.size > 0) identities[at] = { ok: true, visible, fault: refused.message }
  }
  return { current, identities }
}

async function oneByOne(session: pg.ClientBase, asks: Asking, asked: readonly Asked[]): Promise<CheckAnswer> {
  const identities: IdentityAnswer[] = []
  let current = true
  for (const each of asked) {
    await session.query(`begin; set local statement_timeout = ${Math.ceil(asks.patience.timeoutMs)}`)
    try {
      const answer = await call(session, asks, [each], true)
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
  readonly seen: (string | null)[] | null
  readonly fault: string | null
}

async function call(
  session: pg.ClientBase,
  { check, written, sql: { name } }: Asking,
  asked: readonly Asked[],
  guarded: boolean,
): Promise<CheckAnswer> {
  const { entry, keys, role } = check
  const sets = setsOf(asked)
  const rows = sets.flatMap((set) => set.rows)
  let bound = 0
  const bounds = [0, ...sets.map((set) => (bound += set.rows.length))]
  const columns = entry.primaryKey.map((_, column) => arrayLiteral(rows.map((row) => keys[row]![column]!)))
  const places = columns.map((_, column) => `$${column + 8}`).join(', ')
  const query = {
    name: `${name}.${guarded}`,
    text: `select i, seen, fault from ${name}($1, $2, $3, $4, $5, $6, $7, ${places}, ${guarded})`,
    values: [
      role,
      asked.map(({ identity }) => identity.claims),
      sets.map(({ until }) => until),
      bounds,
      check.xids,
      rows.map((row) => written.images[row]!),
      written.masked ? rows.map((row) => written.missing[row]!) : '{}',
      ...columns,
    ],
  }
  let found: readonly CheckRow[] = []
  let tookMs = 0
  await untilSeen(session, check, async () => {
    const at = performance.now()
    found = (await session.query<CheckRow>(query)).rows
    tookMs = performance.now() - at
    return found[0]?.i !== -1
  })
  const answers: IdentityAnswer[] = asked.map(() => ({ ok: true, visible: new Map() }))
  let current = false
  for (const { i, seen, fault } of found) {
    if (i === 0) current = isVersion(check, seen ?? [])
    else if (fault !== null) answers[i - 1] = { ok: false, message: fault, timedOut: false }
    else answers[i - 1] = { ok: true, visible: readSeen(check, asked[i - 1]!.rows, (seen ?? []) as string[]) }
  }
  return { current, identities: answers, slow: tookMs > slowAfterMs(asked) }
}

/** What a call takes at most as a rule, on a busy machine too. */
function slowAfterMs(asked: readonly Asked[]): number {
  return 100 + asked.reduce((cost, { rows }) => cost + rows.length + IDENTITY_COST, 0) / 50
}

/** The version after the look, and, where something was denied, before it: Postgres may deny by an older one. */
function isVersion({ entry, role }: RowCheck, [after, before]: readonly (string | null)[]): boolean {
  const version = entry.roles.get(role)?.version
  return after === version && (before === null || before === undefined || before === version)
}

interface RowSet {
  readonly rows: readonly number[]
  /** How many identities there are up to the last that asks for them. */
  until: number
}

/** Runs of identities that ask for the same rows. */
function setsOf(asked: readonly Asked[]): RowSet[] {
  const sets: RowSet[] = []
  asked.forEach(({ rows }, index) => {
    const last = sets.at(-1)
    if (last?.rows === rows) last.until = index + 1
    else sets.push({ rows, until: index + 1 })
  })
  return sets
}

function isTimeout(error: unknown): boolean {
  return (error as { code?: string }).code === '57014'
}
