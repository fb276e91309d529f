import { expect, test } from 'vitest'
import { Identities } from '../../catalog/identity.ts'
import type { IdentityAnswer } from '../../decide/feed-database.ts'
import { askInHalves, eachInTurn } from './identity-answers.ts'

const failed: IdentityAnswer = { ok: false, message: 'division by zero', timedOut: false }
const late: IdentityAnswer = { ok: false, message: 'too long', timedOut: true }
const sees = (...rows: number[]): IdentityAnswer => ({ ok: true, visible: new Map(rows.map((row) => [row, 'image'])) })

/** The answer, and which rows were asked about together. */
async function ask(rows: readonly number[], answer: (rows: readonly number[]) => IdentityAnswer): Promise<[IdentityAnswer, string[]]> {
  const asked: string[] = []
  const found = await askInHalves(rows, Infinity, (part) => {
    asked.push(part.join())
    return Promise.resolve(answer(part))
  })
  return [found, asked]
}

test('a question that fails is divided down to the rows that fail alone; the others are visible, with the fault', async () => {
  const [answer, asked] = await ask([3, 4, 5, 6], (rows) => (rows.includes(4) ? failed : sees(...rows)))
  expect(answer).toEqual({ ...sees(3, 5, 6), fault: 'division by zero' })
  expect(asked).toEqual(['3,4,5,6', '3,4', '3', '4', '5,6'])
})

test.each([
  ['that was answered', sees(1), [1, 2]],
  ['that timed out', late, [1, 2]],
  ['of a single row', failed, [1]],
])('a question %s is not divided', async (_, all, rows) => {
  expect(await ask(rows, () => all)).toEqual([all, [rows.join()]])
})

test('a question whose time is up is not asked', async () => {
  await expect(askInHalves([1], performance.now() - 1, () => Promise.reject(new Error('asked')))).rejects.toMatchObject({ code: '57014' })
})

test.each([
  [false, ['a', 'b']],
  [true, ['a', 'b', 'c']],
])('after a timeout, with isolation %s, those asked about are %j', async (isolates, expected) => {
  const identities = new Identities()
  const asked = ['a', 'b', 'c'].map((sub) => ({ identity: identities.of('user', { sub }, 'all'), rows: [1] }))
  const seen: string[] = []
  const answers = await eachInTurn(asked, { isolates, timeoutMs: 1, leavesNothing: false, until: Infinity }, ({ identity }) => {
    seen.push((JSON.parse(identity.claims) as { sub: string }).sub)
    return Promise.resolve(seen.length === 2 ? late : sees(1))
  })
  expect(seen).toEqual(expected)
  expect(answers.map(({ ok }) => ok)).toEqual([true, false, isolates])
})
