import { expect, test } from 'vitest'
import { workerCount } from './worker-count.ts'

test.each([
  ['auto', null, 8, 8],
  ['auto', { freeSenders: 10, freeSlots: 10 }, 8, 8],
  ['auto', { freeSenders: 6, freeSlots: 10 }, 8, 4],
  ['auto', { freeSenders: 10, freeSlots: 5 }, 8, 3],
  ['auto', { freeSenders: 0, freeSlots: 0 }, 8, 1],
  [4, { freeSenders: 4, freeSlots: 9 }, 2, 4],
  [4, { freeSenders: 3, freeSlots: 9 }, 2, 3],
  [4, { freeSenders: 0, freeSlots: 9 }, 2, 1],
  [4, null, 2, 4],
] as const)('%s workers with %j on %i cores: %i', (asked, room, cores, count) => {
  const result = workerCount(asked, room, cores)
  expect(result.count).toBe(count)
  expect(result.warning === null).toBe(count === (asked === 'auto' ? cores : asked))
})

test('says what is scarce', () => {
  expect(workerCount(4, { freeSenders: 3, freeSlots: 9 }).warning).toMatch(
    /^3 of 4 workers are started: .* has 3 left\. Raise max_wal_senders$/,
  )
  expect(workerCount(4, { freeSenders: 9, freeSlots: 2 }).warning).toMatch(/Raise max_replication_slots$/)
})
