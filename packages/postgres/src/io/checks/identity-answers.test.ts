import { expect, test } from 'vitest'
import { Identities } from '../../catalog/identity.ts'
import type { IdentityAnswer } from '../../decide/feed-database.ts'
import { eachInTurn, elseRowByRow } from './identity-answers.ts'

const failed: IdentityAnswer = { ok: false, message: 'division by zero', timedOut: false }
const late: IdentityAnswer = { ok: false, message: 'too long', timedOut: true }
const sees = (...rows: number[]): IdentityAnswer => ({ ok: true, visible: new Map(rows.map((row) => [row, 'image'])) })

test('where all rows fail together, each that does not fail alone is visible, with the fault', async () => {
  const answer = await elseRowByRow(failed, [3, 4, 5], (row) => Promise.resolve(row === 4 ? failed : sees(row)))
  expect(answer).toEqual({ ...sees(3, 5), fault: 'division by zero' })
})

test.each([
  ['that was answered', sees(1), [1, 2]],
  ['that timed out', late, [1, 2]],
  ['of a single row', failed, [1]],
])('a question %s is not asked again', async (_, all, rows) => {
  expect(await elseRowByRow(all, rows, () => Promise.reject(new Error('asked')))).toBe(all)
})

test.each([
  [false, ['a', 'b']],
  [true, ['a', 'b', 'c']],
])('after a timeout, with isolation %s, those asked about are %j', async (isolates, expected) => {
  const identities = new Identities()
  const asked = ['a', 'b', 'c'].map((sub) => ({ identity: identities.of('user', { sub }, 'all'), rows: [1] }))
  const seen: string[] = []
  const answers = await eachInTurn(asked, { isolates, timeoutMs: 1, leavesNothing: false }, ({ identity }) => {
    seen.push((JSON.parse(identity.claims) as { sub: string }).sub)
    return Promise.resolve(seen.length === 2 ? late : sees(1))
  })
  expect(seen).toEqual(expected)
  expect(answers.map(({ ok }) => ok)).toEqual([true, false, isolates])
})
