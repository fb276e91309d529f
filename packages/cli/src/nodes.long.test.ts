import { expect, test } from 'vitest'
import { proveNodes } from '../test/nodes-proof.ts'

test('three servers on one database, 300 clients, 500 writes a second, 42 events', async () => {
  const { rows, joins, delivered, events, ...result } = await proveNodes({
    servers: 3,
    clients: 300,
    writesPerSecond: 500,
    events: 42,
    pauseMs: 3_000,
  })
  console.log(`${rows} rows, ${joins} joins, ${delivered} changes delivered, ${JSON.stringify(events)}`)
  expect(result).toMatchObject({ lost: 0, extra: 0, faults: [], slotsLeft: [expect.stringMatching(/^tidewire_[0-9a-f]{8}$/)] })
  expect(rows).toBeGreaterThan(10_000)
  // Each client came back several times; how often depends on the machine.
  expect(joins).toBeGreaterThan(900)
})
