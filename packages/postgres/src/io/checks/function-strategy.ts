import pg from 'pg'
import { getOrMake } from '../../catalog/multimap.ts'
import type { CheckAnswer, Grant, IdentityAnswer, RowCheck } from '../../decide/feed-database.ts'
import { arrayLiteral } from '../../subscribe/request/change-entry.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import { checkFunction, type CheckFunction } from './check-function.ts'
import {
  askInHalves,
  assertTime,
  eachInTurn,
  failedAnswer,
  IDENTITY_COST,
  inCalls,
  type CheckOptions,
  type CheckStrategy,
  type FailedAnswer,
  type ListedIdentity,
} from './identity-answers.ts'
import { discardOldPlans, distrustPlans } from './kept-plans.ts'
import { RowList, type KnownVersions, type RowImages } from './seen-versions.ts'
import { untilVisible } from './visibility.ts'

/** The functions that a session has. They live in `pg_temp`: no other session sees them, and they go with the session. */
const installed = new WeakMap<pg.ClientBase, Set<string>>()

/** Sessions that may not make functions: a prepared statement takes their place. */
const withoutFunctions = new WeakSet<pg.ClientBase>()

interface Asking {
  readonly check: RowCheck
  readonly images: RowImages
  readonly sql: CheckFunction
}

/**
 * Calls one function for all identities. If that fails, asks again so that only failing identities are refused. Returns `null` where
 * the session may not make functions.
 */
export async function functionStrategy(
  session: pg.ClientBase,
  check: RowCheck,
  images: RowImages,
  options: CheckOptions,
): Promise<CheckStrategy | null> {
  const asks: Asking = { check, images, sql: checkFunction(check.table, check.role, check.columns, images) }
  if (!(await install(session, asks))) return null
  await discardOldPlans(session, asks.sql.name, check)
  return async (asked) => {
    try {
      return await call(session, asks, asked, false)
    } catch (error) {
      const failed = failedAnswer(error)
      if (failed.timedOut && !options.isolates) return { current: true, identities: asked.map(() => failed) }
      if (failed.timedOut) return oneByOne(session, asks, asked, options)
    }
    try {
      return await divided(session, asks, asked, await call(session, asks, asked, true), options)
    } catch (error) {
      if (!isStatementFault(error)) throw error
    }
    return oneByOne(session, asks, asked, options)
  }
}

/** Returns `false` where the session may not make functions. */
async function install(session: pg.ClientBase, { sql: { name, sql }, check: { role, table } }: Asking): Promise<boolean> {
  const names = getOrMake(installed, session, () => new Set<string>())
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
  // While it plans, Postgres evaluates parts of policies. Planned without an identity, the statement does not fail for a
  // user because of a part that would not have been reached.
  const nothing = table.primaryKey.map(() => `array['{}']`).join(', ')
  const planning = session.query(`select from ${name}($1, array['{}'], '{1}', '{}', '{}', ${nothing}, false)`, [role])
  await planning.catch((error: unknown) => {
    if (!isStatementFault(error)) throw error
  })
  return true
}

/**
 * Asks about half of the rows of each identity that failed, down to the rows for which its policies fail: about all these
 * identities together, since one row may fail for all of them.
 */
async function divided(
  session: pg.ClientBase,
  asks: Asking,
  asked: readonly ListedIdentity[],
  answer: CheckAnswer,
  { until }: CheckOptions,
): Promise<CheckAnswer> {
  let { current } = answer
  const identities = [...answer.identities]
  const visible = new Map<number, Map<number, Grant>>()
  let failed = asked.flatMap((each, at) => (answer.identities[at]!.ok || each.list.rows.length === 1 ? [] : [{ ...each, at }]))
  for (const { at } of failed) {
    const { message } = answer.identities[at] as FailedAnswer
    visible.set(at, new Map())
    identities[at] = { ok: true, visible: visible.get(at)!, fault: message }
  }
  while (failed.length > 0) {
    const halves = failed.flatMap((each) => each.list.halves.map((list) => ({ ...each, list })))
    failed = []
    for (const part of inCalls(halves)) {
      assertTime(until)
      const found = await call(session, asks, part, true)
      current &&= found.current
      for (const [index, each] of part.entries()) {
        const one = found.identities[index]!
        if (one.ok) for (const [row, grant] of one.visible) visible.get(each.at)!.set(row, grant)
        else if (each.list.rows.length > 1) failed.push(each)
      }
    }
  }
  return { current, identities }
}

async function oneByOne(
  session: pg.ClientBase,
  asks: Asking,
  asked: readonly ListedIdentity[],
  options: CheckOptions,
): Promise<CheckAnswer> {
  let current = true
  const identities = await eachInTurn(asked, options, ({ identity, list: all }) =>
    askInHalves(all.rows, options.until, async (rows) => {
      const list = rows === all.rows ? all : new RowList(asks.check, asks.images, rows)
      await session.query(`begin; set local statement_timeout = ${Math.ceil(options.timeoutMs)}`)
      try {
        const answer = await call(session, asks, [{ identity, list }], true)
        current &&= answer.current
        return answer.identities[0]!
      } catch (error) {
        return failedAnswer(error)
      } finally {
        await session.query('rollback')
      }
    }),
  )
  return { current, identities }
}

interface CheckRow {
  readonly i: number
  readonly seen: string | null
  readonly fault: string | null
}

const NOTHING_VISIBLE: IdentityAnswer = { ok: true, visible: new Map() }

/** The identity that is being read. Rows come in the order of identities. */
interface Reading {
  readonly i: number
  readonly list: RowList
  readonly visible: Map<number, Grant>
}

async function call(
  session: pg.ClientBase,
  { check, images, sql: { name } }: Asking,
  asked: readonly ListedIdentity[],
  guarded: boolean,
): Promise<CheckAnswer> {
  const { table, role } = check
  const sets = setsOf(asked)
  const columns = table.primaryKey.map((_, column) => arrayLiteral(sets.map(({ list }) => list.keys[column]!)))
  const places = columns.map((_, column) => `$${column + 6}`).join(', ')
  const text = `select i, seen, fault from ${name}($1, $2, $3, $4, $5, ${places}, ${guarded})`
  const values = [
    role,
    arrayLiteral(asked.map(({ identity }) => identity.claims)),
    `{${sets.map(({ until }) => until).join()}}`,
    `{${check.xids.join()}}`,
    images.masked ? arrayLiteral(sets.map(({ list }) => list.missing)) : '{}',
    ...columns,
  ]
  let found: readonly CheckRow[] = []
  let tookMs = 0
  await untilVisible(session, check, async () => {
    const at = performance.now()
    found = await execute<CheckRow>(session, `${name}.${guarded}`, text, values)
    tookMs = performance.now() - at
    return found[0]?.i !== -1
  })
  const answers: IdentityAnswer[] = asked.map(() => NOTHING_VISIBLE)
  const version = table.roles.get(role)?.version
  let current = version !== undefined
  const known: KnownVersions = new Map()
  let reading = null as Reading | null
  for (const { i, seen, fault } of found) {
    // The version after the rows were read, and in guarded mode also the one before: Postgres may deny by an older one.
    if (i === 0) current &&= seen === version
    else if (fault !== null) {
      answers[i - 1] = { ok: false, message: fault, timedOut: false }
      reading = null
    } else {
      if (reading?.i !== i) {
        const { list } = asked[i - 1]!
        if (reading?.list !== list) known.clear()
        reading = { i, list, visible: new Map() }
        answers[i - 1] = { ok: true, visible: reading.visible }
      }
      for (const [row, grant] of reading.list.read(seen!, known)) reading.visible.set(row, grant)
    }
  }
  if (!current) distrustPlans(session, name)
  return { current, identities: answers, slow: tookMs > slowAfterMs(asked) }
}

/** Executes a statement that the session keeps prepared under `name`. */
function execute<Row extends object>(session: pg.ClientBase, name: string, text: string, values: string[]): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    const query = new pg.Query<Row>(text, values, (error, result) => (error ? reject(error) : resolve(result.rows)))
    // From a plain object, `pg` copies the property descriptors, which takes as long as all the rest that it does for a statement.
    session.query(Object.assign(query, { name }))
  })
}

/** A call that takes longer counts as slow. Most take less, on a busy machine, too. */
function slowAfterMs(asked: readonly ListedIdentity[]): number {
  return 100 + asked.reduce((cost, { list }) => cost + list.rows.length + IDENTITY_COST, 0) / 50
}

interface RowSet {
  readonly list: RowList
  /** The number of identities up to the last one of this set. */
  until: number
}

/** Runs of identities that ask for the same rows. */
function setsOf(asked: readonly ListedIdentity[]): RowSet[] {
  const sets: RowSet[] = []
  asked.forEach(({ list }, index) => {
    const last = sets.at(-1)
    if (last?.list === list) last.until = index + 1
    else sets.push({ list, until: index + 1 })
  })
  return sets
}
