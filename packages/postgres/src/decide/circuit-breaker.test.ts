import { expect, test } from 'vitest'
import { audience, catalogTable, filter } from '../../test/fake-checks.ts'
import type { Audience } from '../subscribe/audience.ts'
import { CircuitBreaker, SLOW_MS } from './circuit-breaker.ts'

const table = catalogTable()
const [mine, yours] = [audience(table, 'me'), audience(table, 'you')]
const filtering = audience(table, 'me', { filters: [filter(table, 'body', 'like', 'a%')] })
const elsewhere = audience(catalogTable({ oid: 2 }), 'me')
const all = [mine, yours, filtering, elsewhere]

test('policies that fail concern all audiences of the identity and table, and only once it is news', () => {
  const breaker = new CircuitBreaker()
  expect([breaker.holds(mine), breaker.openUntil(mine, 0)]).toEqual([false, 0])
  expect(breaker.failed(mine, { kind: 'policy', timedOut: false }, 0)).toBe(true)
  expect(breaker.failed(filtering, { kind: 'policy', timedOut: false }, 0)).toBe(false)
  expect(all.map((each) => breaker.holds(each))).toEqual([true, false, true, false])
  expect(all.map((each) => breaker.openUntil(each, 0))).toEqual([0, 0, 0, 0])
})

test('a filter that fails concerns its audience alone', () => {
  const breaker = new CircuitBreaker()
  breaker.failed(filtering, { kind: 'filter', timedOut: true }, 0)
  expect(all.map((each) => breaker.holds(each))).toEqual([false, false, true, false])
  breaker.suspect(audience(table, 'you', { filters: filtering.filters }))
  expect(breaker.holds(yours)).toBe(false)
  breaker.suspect(yours)
  expect(breaker.holds(yours)).toBe(true)
})

test('an audience that is slow together with others is suspected after three times in a row', () => {
  const breaker = new CircuitBreaker()
  const decided = (together: Audience[], slow: Audience[]): void => breaker.decidedTogether(() => new Set(together), new Set(slow))
  const held = (): boolean[] => all.map((each) => breaker.holds(each))
  decided(all, [mine, yours])
  decided(all, [mine, yours])
  decided(all, [yours])
  expect(held()).toEqual([false, true, false, false])
  decided([elsewhere], [])
  decided(all, [mine])
  decided([elsewhere], [])
  decided(all, [mine])
  expect(held()).toEqual([false, true, false, false])
  decided(all, [mine])
  expect(held()).toEqual([true, true, true, false])
})

test('audiences of an older version of the table are not remembered as slow', () => {
  const breaker = new CircuitBreaker()
  let asked = 0
  const decided = (together: Audience[], slow: Audience[]): void =>
    breaker.decidedTogether(() => {
      asked++
      return new Set(together)
    }, new Set(slow))
  const older = audience(table, 'her')
  decided([older], [older])
  // The table is loaded again: its subscriptions go to another audience, and batches may still hold this one with its members.
  for (const subscription of older.members) subscription.audience = null
  decided([mine], [])
  decided([mine], [])
  expect(asked).toBe(1)
})

test('one that was suspected and cleared may be slow again before it is suspected', () => {
  const breaker = new CircuitBreaker()
  const slow = (): void => breaker.decidedTogether(() => new Set([mine]), new Set([mine]))
  for (let n = 0; n < 3; n++) slow()
  for (let n = 0; n < 3; n++) breaker.answered(mine, 0)
  expect(breaker.holds(mine)).toBe(false)
  slow()
  expect(breaker.holds(mine)).toBe(false)
})

test('without policies it concerns the role', () => {
  const breaker = new CircuitBreaker()
  breaker.suspect(audience(table, null))
  expect(breaker.holds(audience(table, null))).toBe(true)
  expect(breaker.holds(audience(table, null, { role: 'other' }))).toBe(false)
})

test('after a time-out nothing is asked for a second, then for twice as long, at most for a minute', () => {
  const breaker = new CircuitBreaker()
  const until: number[] = []
  for (let n = 0; n < 8; n++) {
    breaker.failed(mine, { kind: 'policy', timedOut: true }, 0)
    until.push(breaker.openUntil(mine, 0))
  }
  expect(until).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  expect([breaker.openUntil(mine, 59_999), breaker.openUntil(mine, 60_000), breaker.openUntil(yours, 0)]).toEqual([60_000, 0, 0])
})

test('three fast answers in a row clear it, and the next fault is news again', () => {
  const breaker = new CircuitBreaker()
  breaker.failed(mine, { kind: 'policy', timedOut: false }, 0)
  const answers = [SLOW_MS - 1, SLOW_MS - 1, SLOW_MS, SLOW_MS - 1, SLOW_MS - 1].map((tookMs) => {
    breaker.answered(filtering, tookMs)
    return breaker.holds(mine)
  })
  expect(answers).toEqual([true, true, true, true, true])
  breaker.failed(mine, { kind: 'policy', timedOut: false }, 0)
  for (let n = 0; n < 2; n++) breaker.answered(mine, 1)
  expect(breaker.holds(mine)).toBe(true)
  breaker.answered(mine, 1)
  expect(breaker.holds(mine)).toBe(false)
  breaker.answered(mine, 1)
  expect(breaker.failed(mine, { kind: 'policy', timedOut: false }, 0)).toBe(true)
})

test('an audience that was only suspected is cleared after as many', () => {
  const breaker = new CircuitBreaker()
  breaker.suspect(mine)
  const held = [1, 2, 3].map(() => {
    breaker.answered(mine, 1)
    return breaker.holds(mine)
  })
  expect(held).toEqual([true, true, false])
})

test('an audience that is suspected already keeps its back-off', () => {
  const breaker = new CircuitBreaker()
  breaker.failed(mine, { kind: 'policy', timedOut: true }, 0)
  breaker.suspect(mine)
  expect(breaker.openUntil(mine, 0)).toBe(1_000)
})
