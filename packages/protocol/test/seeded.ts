import type { Parameters } from 'fast-check'

/**
 * Settings for a property: how often it runs, and a seed that is printed, so that a run can be repeated with
 * `SEED=<number>`.
 */
export function seeded(name: string, numRuns: number): Parameters<unknown> {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 0x7fffffff))
  console.log(`${name}: seed ${seed}, ${numRuns} runs`)
  return { seed, numRuns }
}
