import { expect, test } from 'vitest'
import { measureUnfinished } from './memory.ts'

const BUDGET_BYTES = 64 * 1024 * 1024

test('messages that do not end take no more memory than twice their budget, however many sockets begin one (rule L13)', async () => {
  const { idleBytes, mostBytes, afterBytes } = await measureUnfinished(300, 2, null)
  expect((mostBytes - idleBytes) / BUDGET_BYTES).toBeLessThan(2)
  expect(afterBytes).toBeLessThanOrEqual(mostBytes)
}, 60_000)
