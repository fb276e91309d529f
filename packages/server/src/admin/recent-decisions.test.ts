import { expect, test } from 'vitest'
import { RecentDecisions } from './recent-decisions.ts'

const decision = (detail: string, connection = 'c') => ({ kind: 'join-refused', code: 'unauthorized', detail, connection }) as const

test('the last 200 decisions are kept, the newest first', () => {
  const decisions = new RecentDecisions()
  for (let n = 0; n < 205; n++) decisions.add(decision(String(n)), n)
  const kept = decisions.about('c', null)
  expect(kept.map(({ at }) => at)).toEqual(Array.from({ length: 200 }, (_, n) => 204 - n))
  expect(kept[0]).toEqual({ ...decision('204'), at: 204 })
})

test('fewer than 200 are all kept', () => {
  const decisions = new RecentDecisions()
  for (let n = 0; n < 3; n++) decisions.add(decision(String(n), n === 1 ? 'other' : 'c'), n)
  expect(decisions.about('c', null).map(({ detail }) => detail)).toEqual(['2', '0'])
  expect(decisions.about(null, null).map(({ detail }) => detail)).toEqual(['2', '1', '0'])
})
