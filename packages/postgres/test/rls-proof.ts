import fc from 'fast-check'
import { expect } from 'vitest'
import { startFeed } from './feed.ts'
import { FLIGHT_SETUP, flightCase } from './flight-case.ts'
import { playFlight } from './flight-play.ts'
import type { TestPostgres } from './postgres.ts'
import { RLS_SETUP, rlsCase } from './rls-case.ts'
import { playCase } from './rls-play.ts'

export interface Proof {
  readonly cases: number
  readonly seed: number
  /** Databases that are used at once, each with a feed of its own. */
  readonly databases: number
  /** More SQL for each database, run before the feed is opened. */
  readonly setup?: string
}

/** Plays random cases until one fails, which rejects with the smallest like it and its seed. Answers how many answers were compared. */
export async function proveVisibility(postgres: TestPostgres, { cases, seed, databases: count, setup = '' }: Proof): Promise<number> {
  const share = Math.ceil(cases / count)
  const databases: string[] = []
  for (let at = 0; at < count; at++) databases.push(await postgres.createDatabase())
  const compared = await Promise.all(databases.map((url, at) => proveOn(url, share, seed + at, RLS_SETUP + setup)))
  return compared.reduce((sum, each) => sum + each, 0)
}

async function proveOn(url: string, cases: number, seed: number, setup: string): Promise<number> {
  const it = await startFeed(url, setup)
  let compared = 0
  try {
    await fc.assert(
      fc.asyncProperty(rlsCase, async (each) => {
        const result = await playCase(it, each)
        compared += result.compared
        expect(result.faults).toEqual([])
      }),
      { seed, numRuns: cases, endOnFailure: true },
    )
  } finally {
    await it.close()
  }
  return compared
}

const NO_FUNCTIONS = `do $$ begin execute format('revoke temporary, create on database %I from public', current_database()); end $$;`

/**
 * The same while everything that decides who sees a row is altered, and rows are in flight. Every other
 * database permits no functions to be made. Answers how many deliveries were judged.
 */
export async function proveFlights(postgres: TestPostgres, { cases, seed, databases: count }: Proof): Promise<number> {
  const share = Math.ceil(cases / count)
  const judged: Promise<number>[] = []
  for (let at = 0; at < count; at++) {
    const roles = { R1: `flight_${at}_one`, R2: `flight_${at}_two`, G: `flight_${at}_group` }
    for (const role of Object.values(roles)) await postgres.admin.query(`create role ${role} nologin`)
    judged.push(proveFlightsOn(await postgres.createDatabase(), share, seed + at, roles, at % 2 === 1 ? NO_FUNCTIONS : ''))
  }
  return (await Promise.all(judged)).reduce((sum, each) => sum + each, 0)
}

async function proveFlightsOn(
  url: string,
  cases: number,
  seed: number,
  roles: { readonly R1: string; readonly R2: string; readonly G: string },
  more: string,
): Promise<number> {
  const { R1, R2 } = roles
  const setup = `${RLS_SETUP} ${FLIGHT_SETUP} grant usage on schema public, auth to ${R1}, ${R2}; grant select on members, open_members to ${R1}, ${R2};
    alter publication supabase_realtime set (publish_via_partition_root = true); ${more}`
  const it = await startFeed(url, setup, { roles: [R1, R2], refreshIntervalMs: 1_000 })
  let judged = 0
  try {
    await fc.assert(
      fc.asyncProperty(flightCase, async (each) => {
        const result = await playFlight({ it, roles }, each)
        judged += result.compared
        expect(result.faults).toEqual([])
      }),
      { seed, numRuns: cases, endOnFailure: true },
    )
  } finally {
    await it.close()
  }
  return judged
}
