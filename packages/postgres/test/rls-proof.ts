import fc from 'fast-check'
import { expect } from 'vitest'
import { startFeed } from './feed.ts'
import type { TestPostgres } from './postgres.ts'
import { RLS_SETUP, rlsCase } from './rls-case.ts'
import { playCase } from './rls-play.ts'

export interface Proof {
  readonly cases: number
  readonly seed: number
  /** Databases that are used at once, each with a feed of its own. */
  readonly lanes: number
  /** More SQL for each database, run before the feed is opened. */
  readonly setup?: string
}

/** Plays random cases until one fails, which rejects with the smallest like it and its seed. Answers how many answers were compared. */
export async function proveVisibility(postgres: TestPostgres, { cases, seed, lanes, setup = '' }: Proof): Promise<number> {
  const share = Math.ceil(cases / lanes)
  const databases: string[] = []
  for (let lane = 0; lane < lanes; lane++) databases.push(await postgres.createDatabase())
  const compared = await Promise.all(databases.map((url, lane) => proveLane(url, share, seed + lane, RLS_SETUP + setup)))
  return compared.reduce((sum, each) => sum + each, 0)
}

async function proveLane(url: string, cases: number, seed: number, setup: string): Promise<number> {
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
