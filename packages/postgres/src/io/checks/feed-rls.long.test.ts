import { expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import { proveFlights, proveVisibility } from '../../../test/rls-proof.ts'

// Four databases at once, twice, and each keeps its anchor.
const postgres = usePostgres({ max_replication_slots: '40', max_wal_senders: '40' })

/** `TIDEWIRE_SEED` plays the cases of an earlier run again, `TIDEWIRE_CASES` more or fewer of them. */
const cases = Number(process.env['TIDEWIRE_CASES'] ?? 2_500)
const seed = Number(process.env['TIDEWIRE_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))

test(`every user gets what Postgres would show them, in ${cases} cases`, { timeout: 1_800_000 }, async () => {
  console.log(`TIDEWIRE_SEED=${seed}`)
  const compared = await proveVisibility(postgres, { cases, seed, databases: 4 })
  console.log(`${compared} answers compared`)
  expect(compared).toBeGreaterThan(cases * 5)
})

const flights = Number(process.env['TIDEWIRE_LONG_FLIGHTS'] ?? 1_900)

test(`nothing is sent that was never shown, whatever is altered meanwhile, in ${flights} cases`, { timeout: 1_800_000 }, async () => {
  console.log(`TIDEWIRE_SEED=${seed} TIDEWIRE_LONG_FLIGHTS=${flights}`)
  const judged = await proveFlights(postgres, { cases: flights, seed, databases: 4 })
  console.log(`${judged} deliveries judged`)
  expect(judged).toBeGreaterThan(flights * 2)
})
