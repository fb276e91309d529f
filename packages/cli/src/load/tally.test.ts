import { expect, test } from 'vitest'
import { Tally } from './tally.ts'

function counted(...sequences: number[]) {
  const tally = new Tally(1)
  const fresh = sequences.map((sequence) => tally.saw(0, sequence, 1))
  return { deliveries: tally.deliveries, duplicated: tally.duplicated, reordered: tally.reordered, fresh }
}

test('each once and in order is no fault', () => {
  expect(counted(1, 2, 3)).toEqual({ deliveries: 3, duplicated: 0, reordered: 0, fresh: [true, true, true] })
})

test('a second time is a duplicate, too late is reordered, never is neither', () => {
  expect(counted(1, 3, 2, 2, 5, 3)).toEqual({ deliveries: 4, duplicated: 2, reordered: 1, fresh: [true, true, true, false, true, false] })
})

test('each subscriber is counted by itself', () => {
  const tally = new Tally(2)
  expect([tally.saw(0, 1, 1), tally.saw(1, 1, 1)]).toEqual([true, true])
  expect(tally.duplicated).toBe(0)
})

test('latencies are within 2 %, and none are null', () => {
  const tally = new Tally(1)
  expect(tally.latencyMs(0.5)).toBeNull()
  for (let i = 1; i <= 1000; i++) tally.saw(0, i, i)
  for (const [share, ms] of [
    [0.5, 500],
    [0.95, 950],
    [0.99, 990],
  ] as const) {
    expect(tally.latencyMs(share)).toBeGreaterThanOrEqual(ms)
    expect(tally.latencyMs(share)).toBeLessThanOrEqual(ms * 1.021)
  }
  expect([tally.latencyMs(1), tally.maxMs]).toEqual([1000, 1000])
  tally.saw(0, 1001, 0)
  expect(tally.latencyMs(0.0001)).toBeLessThanOrEqual(0.01)
})
