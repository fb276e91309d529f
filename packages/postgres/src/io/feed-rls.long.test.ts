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

/** `TIDEWIRE_CASES=2500 npm run test:long` is the whole proof, about ten minutes; `TIDEWIRE_SEED` chooses other databases. */
const cases = Number(process.env['TIDEWIRE_CASES'] ?? 300)
const seed = Number(process.env['TIDEWIRE_SEED'] ?? 20_261_124)

test(`everybody gets what Postgres would show them, in ${cases} databases (seed ${seed})`, async () => {
  let compared = 0
  await fc.assert(
    fc.asyncProperty(rlsCase, async (each) => {
      const result = await playCase(it, each)
      compared += result.compared
      expect(result.faults).toEqual([])
    }),
    { seed, numRuns: cases, endOnFailure: true },
  )
  console.log(`${compared} answers compared`)
})
