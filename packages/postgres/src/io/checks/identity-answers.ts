import type { CheckIdentity } from '../../catalog/identity.ts'
import { isTimeout } from '../../catalog/database-fault.ts'
import type { CheckAnswer, Grant, IdentityAnswer } from '../../decide/feed-database.ts'
import { isStatementFault } from '../sessions/statement-fault.ts'
import type { RowList } from './seen-versions.ts'

/** An identity of a check, and the rows that it wants to see. Those who want the same have the same list. */
export interface ListedIdentity {
  readonly identity: CheckIdentity
  readonly list: RowList
}

/** How identities are asked about. */
export interface CheckOptions {
  /** For one identity whose policies are slow. */
  readonly timeoutMs: number
  /** It is found out which identity takes too long; else all that were asked about together count as timed out. */
  readonly isolates: boolean
  /** What the functions of policies write is rolled back. */
  readonly leavesNothing: boolean
}

/** Asks about some identities of a check on one session. */
export type CheckStrategy = (asked: readonly ListedIdentity[]) => Promise<CheckAnswer>

/** The answer for an identity whose policies fail. Rethrows what is no fault of the statement. */
export function failedAnswer(error: unknown): IdentityAnswer & { readonly ok: false } {
  if (!isStatementFault(error)) throw error
  return { ok: false, message: error.message, timedOut: isTimeout(error) }
}

/** Asks about each identity in turn. Without isolation, those that follow one that timed out are not asked about. */
export async function eachInTurn<Asked>(
  asked: readonly Asked[],
  { isolates }: CheckOptions,
  ask: (identity: Asked) => Promise<IdentityAnswer>,
): Promise<IdentityAnswer[]> {
  const answers: IdentityAnswer[] = []
  for (const identity of asked) {
    const last = answers.at(-1)
    answers.push(!isolates && last?.ok === false && last.timedOut ? last : await ask(identity))
  }
  return answers
}

/** `all` is the answer for all rows at once. Where it failed, each row is asked about alone: a policy may fail for one row only. */
export async function elseRowByRow(
  all: IdentityAnswer,
  rows: readonly number[],
  ask: (row: number) => Promise<IdentityAnswer>,
): Promise<IdentityAnswer> {
  if (all.ok || all.timedOut || rows.length === 1) return all
  const visible = new Map<number, Grant>()
  for (const row of rows) {
    const answer = await ask(row)
    if (answer.ok) for (const [number, grant] of answer.visible) visible.set(number, grant)
  }
  return { ok: true, visible, fault: all.message }
}
