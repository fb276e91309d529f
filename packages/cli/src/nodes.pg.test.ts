import { expect, test } from 'vitest'
import { proveNodes } from '../test/nodes-proof.ts'

test('three servers on one database: a client goes on at any of them, whatever dies', { timeout: 120_000 }, async () => {
  const { rows, joins, ...result } = await proveNodes({ servers: 3, clients: 30, writesPerSecond: 200, events: 7, pauseMs: 400 })
  expect(result).toMatchObject({ lost: 0, extra: 0, faults: [], slotsLeft: [expect.stringMatching(/^tidewire_[0-9a-f]{8}$/)] })
  expect(rows).toBeGreaterThan(500)
  // Each client joined and moved; how often it moves besides depends on the machine.
  expect(joins).toBeGreaterThanOrEqual(60)
})
