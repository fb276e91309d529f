import { expect, test } from 'vitest'
import { Latencies } from './latency.ts'

test('nothing was measured: nothing is reported', () => {
  expect(new Latencies().take()).toBeNull()
})

test('counts by class, and starts over after each take', () => {
  const latencies = new Latencies()
  for (const ms of [0, 0.05, 0.06, 3, 20_000]) latencies.add(ms)
  const summary = latencies.take()!
  expect(summary.counts.reduce((sum, count) => sum + count)).toBe(5)
  expect(summary.counts[0]).toBe(2)
  expect(summary.counts[1]).toBe(1)
  expect(summary.counts.at(-1)).toBe(1)
  expect(summary.counts).toHaveLength(summary.boundsMs.length + 1)
  expect(latencies.take()).toBeNull()
})

test('quantiles lie in the class that holds them, and never above the longest', () => {
  const latencies = new Latencies()
  for (let i = 0; i < 1_000; i++) latencies.add(i / 100)
  const { p50, p95 } = latencies.take()!
  expect(p50).toBeGreaterThan(4.5)
  expect(p50).toBeLessThan(5.5)
  expect(p95).toBeGreaterThan(9)
  expect(p95).toBeLessThanOrEqual(9.99)
  latencies.add(60_000)
  expect(latencies.take()).toMatchObject({ p50: expect.toSatisfy((ms: number) => ms > 10_000 && ms <= 60_000) as number })
})
