import { expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import { proveVisibility } from '../../../test/rls-proof.ts'

const postgres = usePostgres()

/** `TIDEWIRE_SEED` plays the cases of an earlier run again, `TIDEWIRE_CASES` more or fewer of them. */
const cases = Number(process.env['TIDEWIRE_CASES'] ?? 2_500)
const seed = Number(process.env['TIDEWIRE_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))

test(`everybody gets what Postgres would show them, in ${cases} cases`, { timeout: 1_800_000 }, async () => {
  console.log(`TIDEWIRE_SEED=${seed}`)
  const compared = await proveVisibility(postgres, { cases, seed, lanes: 4 })
  console.log(`${compared} answers compared`)
  expect(compared).toBeGreaterThan(cases * 5)
})
