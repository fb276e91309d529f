import { expect, test } from 'vitest'
import { usePostgres } from '../../../test/postgres.ts'
import { proveFlights, proveVisibility } from '../../../test/rls-proof.ts'

const postgres = usePostgres()

test('every user gets what Postgres would show them, and nothing else', { timeout: 120_000 }, async () => {
  const seed = Math.trunc(Math.random() * 2 ** 31)
  console.log(`seed ${seed}`)
  expect(await proveVisibility(postgres, { cases: 60, seed, databases: 2 })).toBeGreaterThan(300)
})

test('the same where functions and temporary tables are not permitted', { timeout: 120_000 }, async () => {
  const seed = Math.trunc(Math.random() * 2 ** 31)
  console.log(`seed ${seed}`)
  const setup = `do $$ begin execute format('revoke temporary, create on database %I from public', current_database()); end $$;
    do $$ begin
      if exists (select from pg_roles where rolname = 'tidewire_checker' and has_database_privilege(oid, current_database(), 'TEMP'))
      then raise exception 'functions can be made all the same'; end if;
    end $$;`
  expect(await proveVisibility(postgres, { cases: 25, seed, databases: 1, setup })).toBeGreaterThan(100)
})

test('nothing is sent that was never shown, whatever is altered while rows are in flight', { timeout: 120_000 }, async () => {
  const seed = Number(process.env['TIDEWIRE_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))
  const cases = Number(process.env['TIDEWIRE_FLIGHTS'] ?? 150)
  console.log(`TIDEWIRE_SEED=${seed} TIDEWIRE_FLIGHTS=${cases}`)
  expect(await proveFlights(postgres, { cases, seed, databases: 2 })).toBeGreaterThan(cases * 2)
})
