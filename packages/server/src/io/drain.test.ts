import { expect, test } from 'vitest'
import { drainPlan } from './drain.ts'

test.each([
  [0, 5_000, 0],
  [1, 5_000, 50],
  [30, 5_000, 400],
  [300, 5_000, 3_000],
  [1_000, 5_000, 2_950],
  [20_000, 10_000, 6_000],
  [1_000, 0, 50],
])('%i sockets within %i ms are closed over %i ms', (sockets, timeoutMs, spreadMs) => {
  expect(drainPlan(sockets, timeoutMs).spreadMs).toBe(spreadMs)
})
