import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Latencies } from './latencies.ts'

test('latencies are within 0.4 %, and none are null', () => {
  const latencies = new Latencies()
  expect([latencies.within(0.5), latencies.maxMs]).toEqual([null, null])
  for (let i = 1; i <= 1000; i++) latencies.add(i)
  for (const [share, ms] of [
    [0.5, 500],
    [0.95, 950],
    [0.99, 990],
  ] as const) {
    expect(latencies.within(share)).toBeGreaterThanOrEqual(ms)
    expect(latencies.within(share)).toBeLessThanOrEqual(ms * 1.004)
  }
  expect([latencies.within(1), latencies.maxMs]).toEqual([1000, 1000])
  latencies.add(0)
  expect(latencies.within(0.0001)).toBeLessThanOrEqual(0.01)
})

test('any value is found again, whatever is slower', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 600_000, noNaN: true }), (ms) => {
      const latencies = new Latencies()
      for (const each of [ms, 700_000]) latencies.add(each)
      expect(latencies.within(0.5)).toBeGreaterThanOrEqual(ms)
      expect(latencies.within(0.5)).toBeLessThanOrEqual(Math.max(0.01, ms * 1.004))
      expect(latencies.within(1)).toBe(700_000)
    }),
  )
})
