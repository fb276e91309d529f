import { expect, test } from 'vitest'
import { Failure } from '../failure.ts'
import { describePlan, isThisMachine, planOf } from './plan.ts'

const usual = { topics: '1', subscribers: '100', duration: '10s', size: '200' }

test('a plan is bounded, and says what it does', () => {
  const plan = planOf(usual)
  expect(plan).toMatchObject({ subscribers: 100, durationMs: 10_000, pace: { kind: 'closed', inFlight: 8 } })
  expect(describePlan(plan)).toBe('100 subscribers on 1 topic, 8 in flight, 200 B each, for 10 s')
  expect(describePlan(planOf({ ...usual, topics: '10', rate: '50' }))).toBe(
    '100 subscribers on 10 topics, 50 messages/s, 200 B each, for 10 s',
  )
})

test.each([
  [{ subscribers: '10001' }, '--subscribers may be 10000 at most'],
  [{ subscribers: '0' }, '--subscribers must be a whole number above 0'],
  [{ topics: '101' }, '--topics may not be more than --subscribers'],
  [{ duration: '11m' }, '--duration may be 10m at most'],
  [{ duration: 'soon' }, '--duration must be a duration'],
  [{ size: '31' }, '--size must be 32 at least'],
  [{ rate: '1', 'in-flight': '1' }, '--rate and --in-flight exclude each other'],
])('%o is refused', (values, sentence) => {
  const plan = (): unknown => planOf({ ...usual, ...values })
  expect(plan).toThrow(Failure)
  expect(plan).toThrow(sentence)
})

test.each([
  ['http://127.0.0.1:4000', true],
  ['ws://localhost/realtime/v1', true],
  ['http://[::1]:4000', true],
  ['http://127.evil.example', false],
  ['https://project.supabase.co', false],
  ['http://10.0.0.1', false],
  ['http://localhost.example.org', false],
])('%s is this machine: %s', (url, expected) => {
  expect(isThisMachine(url)).toBe(expected)
})
