import { expect, test } from 'vitest'
import { measureUnfinished } from './memory.ts'

/** What is cut gives its memory back at once; what it leaves between other memory, and the sockets themselves, come to as much again. */
const BUDGET_BYTES = 64 * 1024 * 1024

test('messages that do not end take no more memory than three times their budget, however many sockets begin one (rule L13)', async () => {
  const { idleBytes, mostBytes, afterBytes } = await measureUnfinished(300, 2, null)
  expect((mostBytes - idleBytes) / BUDGET_BYTES).toBeLessThan(3)
  expect(afterBytes).toBeLessThanOrEqual(mostBytes)
}, 60_000)
