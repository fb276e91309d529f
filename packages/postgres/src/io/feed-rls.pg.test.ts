import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFeed, type TestFeed } from '../../test/feed.ts'
import { usePostgres } from '../../test/postgres.ts'
import { playCase, RLS_SETUP, rlsCase } from '../../test/rls-case.ts'

const postgres = usePostgres()
let it: TestFeed

beforeAll(async () => {
  it = await startFeed(await postgres.createDatabase(), RLS_SETUP)
})
afterAll(() => it.close())

test('everybody gets what Postgres would show them, and nothing else', { timeout: 120_000 }, async () => {
  let compared = 0
  await fc.assert(
    fc.asyncProperty(rlsCase, async (each) => {
      const result = await playCase(it, each)
      compared += result.compared
      expect(result.faults).toEqual([])
    }),
    { numRuns: 60, endOnFailure: true },
  )
  expect(compared).toBeGreaterThan(300)
})
