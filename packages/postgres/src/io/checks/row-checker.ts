import { getOrMake } from '../../catalog/multimap.ts'
import type { CheckAnswer, IdentityAnswer, RowCheck } from '../../decide/feed-database.ts'
import type { SessionPool } from '../sessions/session-pool.ts'
import { functionStrategy } from './function-strategy.ts'
import { assertTime, inCalls, type CheckOptions, type ListedIdentity } from './identity-answers.ts'
import { byImages } from './image-checker.ts'
import { RowList, rowImages, type RowImages } from './seen-versions.ts'
import { statementStrategy } from './statement-strategy.ts'

/** Sessions that share one question, where they are free. */
const MAX_SESSIONS = 2

type Asked = ListedIdentity & { readonly index: number }

/**
 * Asks Postgres which rows the identities see. `options.timeoutMs` is for an identity alone, when it is found out which one takes
 * too long; the session's own timeout is for a whole call.
 */
export async function checkRows(sessions: SessionPool, check: RowCheck, options: CheckOptions): Promise<CheckAnswer> {
  const images = rowImages(check)
  const answer = await askAll(sessions, check, images, options)
  const whole = images.masked && answer.current ? await wholeRows(sessions, check, images, answer, options) : answer
  return whole.current ? byImages(sessions, check, whole, options) : whole
}

/** Reads rows that were written again once more, with all columns: the check masked those that the stream did not carry. */
async function wholeRows(
  sessions: SessionPool,
  check: RowCheck,
  images: RowImages,
  answer: CheckAnswer,
  options: CheckOptions,
): Promise<CheckAnswer> {
  const partly = check.identities.flatMap(({ identity }, index) => {
    const one = answer.identities[index]!
    const rows = one.ok
      ? [...one.visible].flatMap(([row, grant]) => (typeof grant === 'string' || images.missing[row] === null ? [] : [row]))
      : []
    return rows.length === 0 ? [] : [{ identity, index, rows }]
  })
  if (partly.length === 0) return answer
  const whole = await askAll(sessions, { ...check, identities: partly }, { ...images, masked: false, wide: true }, options)
  const identities = [...answer.identities]
  for (const [at, { index, rows }] of partly.entries()) {
    const before = identities[index]!
    const now = whole.identities[at]
    if (!before.ok || now === undefined) continue
    if (!now.ok && now.timedOut) {
      // Not a denial: that would lose the row. A timed-out identity is decided again, or its gap is announced.
      identities[index] = now
      continue
    }
    const visible = new Map(before.visible)
    for (const row of rows) {
      const grant = now.ok ? now.visible.get(row) : undefined
      if (grant === undefined) visible.delete(row)
      else visible.set(row, grant)
    }
    const fault = now.ok ? (now.fault ?? before.fault) : now.message
    identities[index] = { ok: true, visible, ...(fault === undefined ? {} : { fault }) }
  }
  return { current: whole.current, slow: answer.slow === true || whole.slow === true, identities }
}

async function askAll(sessions: SessionPool, check: RowCheck, images: RowImages, options: CheckOptions): Promise<CheckAnswer> {
  const answers: IdentityAnswer[] = []
  let [current, slow] = [true, false]
  const calls = callsOf(check, images)
  let next = 0
  const askOn: Parameters<typeof sessions.withSession<void>>[0] = async (session) => {
    const byFunction = options.leavesNothing ? null : await functionStrategy(session, check, images, options)
    const ask = byFunction ?? statementStrategy(session, check, images, options)
    while (current && next < calls.length) {
      assertTime(options.until)
      const asked = calls[next++]!
      const answer = await ask(asked)
      current &&= answer.current
      slow ||= answer.slow === true
      asked.forEach(({ index }, at) => (answers[index] = answer.identities[at]!))
    }
  }
  const working = [sessions.withSession(askOn)]
  while (working.length < Math.min(MAX_SESSIONS, calls.length) && sessions.hasFree()) working.push(sessions.withSession(askOn))
  // All end before the first fault is thrown, so that none goes on while the caller asks again.
  for (const outcome of await Promise.allSettled(working)) if (outcome.status === 'rejected') throw outcome.reason
  return { current, slow, identities: answers }
}

/** Identities that ask for the same rows share a list and follow each other, so that a call sends each list once. */
function callsOf(check: RowCheck, images: RowImages): Asked[][] {
  const byRows = new Map<readonly number[], Asked[]>()
  const bySignature = new Map<string, Asked[]>()
  check.identities.forEach(({ identity, rows }, index) => {
    const group = getOrMake(byRows, rows, () => getOrMake(bySignature, rows.join(), () => []))
    group.push({ identity, list: group[0]?.list ?? new RowList(check, images, rows), index })
  })
  return inCalls([...bySignature.values()].flat())
}
