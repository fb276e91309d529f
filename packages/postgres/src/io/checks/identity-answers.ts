import type { CheckIdentity } from '../../catalog/identity.ts'
import { isTimeout, OutOfTime } from '../../catalog/database-fault.ts'
import { halvesOf } from '../../catalog/halves.ts'
import type { CheckAnswer, Grant, IdentityAnswer } from '../../decide/feed-database.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import type { RowList } from './seen-versions.ts'

/** An identity of a check, and the rows that it wants to see. Identities that want the same rows share one list. */
export interface ListedIdentity {
  readonly identity: CheckIdentity
  readonly list: RowList
}

export interface CheckOptions {
  /** The time-out for one identity. */
  readonly timeoutMs: number
  /** After a time-out each identity is asked about alone; else all that were asked about together count as timed out. */
  readonly isolates: boolean
  /** Rolls back what functions of policies write. */
  readonly leavesNothing: boolean
  /** By `performance.now()`. After it nothing more is asked, and the question fails with {@link OutOfTime}. */
  readonly until: number
}

/**
 * Throws when the question is out of time. To be called before each statement of a question that may have many: one for every identity,
 * row or filter that fails.
 */
export function assertTime(until: number): void {
  if (performance.now() > until) throw new OutOfTime()
}

export type FailedAnswer = Extract<IdentityAnswer, { readonly ok: false }>

/** Asks about some identities of a check on one session. */
export type CheckStrategy = (asked: readonly ListedIdentity[]) => Promise<CheckAnswer>

/** The answer for an identity whose policies fail. Rethrows what is no fault of the statement. */
export function failedAnswer(error: unknown): FailedAnswer {
  if (!isStatementFault(error)) throw error
  return { ok: false, message: error.message, timedOut: isTimeout(error) }
}

/** Asks about each identity in turn. Without isolation, those that follow one that timed out are not asked about. */
export async function eachInTurn<Asked>(
  asked: readonly Asked[],
  { isolates, until }: CheckOptions,
  ask: (identity: Asked) => Promise<IdentityAnswer>,
): Promise<IdentityAnswer[]> {
  const answers: IdentityAnswer[] = []
  for (const identity of asked) {
    assertTime(until)
    const last = answers.at(-1)
    answers.push(!isolates && last?.ok === false && last.timedOut ? last : await ask(identity))
  }
  return answers
}

/** Asks an identity about rows; where that fails, about halves of them, down to the rows for which its policies fail. */
export async function askInHalves(
  rows: readonly number[],
  until: number,
  ask: (rows: readonly number[]) => Promise<IdentityAnswer>,
): Promise<IdentityAnswer> {
  assertTime(until)
  const all = await ask(rows)
  if (all.ok || all.timedOut || rows.length === 1) return all
  const visible = new Map<number, Grant>()
  for (const half of halvesOf(rows)) {
    const answer = await askInHalves(half, until, ask)
    if (answer.ok) for (const [row, grant] of answer.visible) visible.set(row, grant)
  }
  return { ok: true, visible, fault: all.message }
}

/** The cost of a call is bounded, so that none takes long and sessions can share them. A row for an identity costs one, the identity itself some more. */
const MAX_COST = 20_000
export const IDENTITY_COST = 40

export function inCalls<Asked extends ListedIdentity>(asked: Iterable<Asked>): Asked[][] {
  const calls: Asked[][] = []
  let cost = Infinity
  for (const each of asked) {
    if (cost > MAX_COST) {
      calls.push([])
      cost = 0
    }
    calls.at(-1)!.push(each)
    cost += each.list.rows.length + IDENTITY_COST
  }
  return calls
}
