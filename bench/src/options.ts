import { parseArgs } from 'node:util'
import { scenarios, type Scenario } from './scenario.ts'

export interface BenchOptions {
  readonly scenarios: readonly Scenario[]
  readonly rounds: number
  /** A tenth of everything: to see that it works, not to be believed. */
  readonly quick: boolean
  /** Where every single run is written. */
  readonly json: string | null
}

export const USAGE = `npm run bench -- [--scenario NAME]… [--rounds N] [--quick] [--json FILE]
scenarios: ${scenarios.map(({ name }) => name).join(', ')}`

/** Reads the command line. Throws an Error that says what is wrong with it. */
export function parseOptions(words: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      scenario: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  })
  const names = values.scenario ?? scenarios.map(({ name }) => name)
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
  if (!Number.isSafeInteger(rounds) || rounds < 1 || rounds > 100) throw new Error('--rounds must be a whole number from 1 to 100')
  return { scenarios: names.map(scenarioNamed), rounds, quick: values.quick, json: values.json ?? null }
}

function scenarioNamed(name: string): Scenario {
  const scenario = scenarios.find((each) => each.name === name)
  if (scenario === undefined) throw new Error(`there is no scenario "${name}"; there are: ${scenarios.map((each) => each.name).join(', ')}`)
  return scenario
}
