import { expect, test } from 'vitest'
import { usePostgres } from '../../test/postgres.ts'
import { proveVisibility } from '../../test/rls-proof.ts'

const postgres = usePostgres()

test('everybody gets what Postgres would show them, and nothing else', { timeout: 120_000 }, async () => {
  const seed = Math.trunc(Math.random() * 2 ** 31)
  console.log(`seed ${seed}`)
  expect(await proveVisibility(postgres, { cases: 60, seed, lanes: 2 })).toBeGreaterThan(300)
})
