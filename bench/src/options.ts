import { parseArgs } from 'node:util'
import { figureNames, type FigureName } from './client/figures.ts'
import type { ForeignOptions } from './foreign.ts'
import { postgresScenarios, type PostgresScenario } from './postgres/main.ts'
import { scenarios, type Scenario } from './scenario.ts'
import { watchedScenarios } from './watched/main.ts'
import { workersScenarios } from './workers.ts'

export interface BenchOptions {
  readonly scenarios: readonly Scenario[]
  /** What is measured of the change feed instead; null without `--postgres`. */
  readonly postgres: readonly PostgresScenario[] | null
  /** What is measured of the client instead; null without `--client`. */
  readonly client: readonly FigureName[] | null
  /** What an inspector costs is measured instead. */
  readonly watched: boolean
  /** Frame times of the inspector's page are measured instead. */
  readonly page: boolean
  /** Publishing over HTTP is measured instead. */
  readonly http: boolean
  /** Joins of private channels are measured instead. */
  readonly joins: boolean
  /** What the heaviest frames of one client cost the others is measured instead. */
  readonly hostile: boolean
  /** What many nodes cost is measured instead. */
  readonly cluster: boolean
  /** With `cluster`: a folder with this repository at an earlier commit, built. */
  readonly base: string | null
  /** What presence on many nodes costs is measured instead. */
  readonly presence: boolean
  /** What several processes behind one port cost is measured instead. */
  readonly workers: boolean
  /** One table of everything at the head of the page. */
  readonly all: boolean
  /** A server that runs already and takes part; null for none. */
  readonly foreign: ForeignOptions | null
  readonly rounds: number
  /** A tenth of everything: to see that it works, not to be believed. */
  readonly quick: boolean
  /** Where every single run is written. */
  readonly json: string | null
}

export const USAGE = `npm run bench -- [--all | --postgres | --client | --watched | --page | --hostile | --http | --joins | --cluster | --presence | --workers] [--scenario NAME]… [--rounds N] [--quick] [--json FILE]
  with --all or without: [--url URL] [--apikey KEY] [--yes-i-may]: a server that runs already takes part; BENCH_APIKEY keeps its key off the screen
  with --cluster: [--base FOLDER]: this repository at an earlier commit, built, takes part
scenarios: ${scenarios.map(({ name }) => name).join(', ')}
scenarios with --postgres: ${postgresScenarios.join(', ')}
scenarios with --client: ${figureNames.join(', ')}`

/** Reads the command line. Throws an Error that says what is wrong with it. */
export function parseOptions(words: readonly string[], environment: Readonly<Record<string, string | undefined>> = {}): BenchOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      all: { type: 'boolean', default: false },
      postgres: { type: 'boolean', default: false },
      client: { type: 'boolean', default: false },
      watched: { type: 'boolean', default: false },
      page: { type: 'boolean', default: false },
      http: { type: 'boolean', default: false },
      joins: { type: 'boolean', default: false },
      hostile: { type: 'boolean', default: false },
      cluster: { type: 'boolean', default: false },
      presence: { type: 'boolean', default: false },
      base: { type: 'string' },
      workers: { type: 'boolean', default: false },
      url: { type: 'string' },
      apikey: { type: 'string' },
      'yes-i-may': { type: 'boolean', default: false },
      scenario: { type: 'string', multiple: true },
      rounds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  })
  const own = ['postgres', 'client', 'watched', 'page', 'hostile', 'http', 'joins', 'cluster', 'presence', 'workers'] as const
  const others = `--${own.slice(0, -1).join(', --')}`
  const last = `--${own.at(-1)}`
  const chosenOwn = own.filter((name) => values[name])
  if (chosenOwn.length > 1) throw new Error(`${others} and ${last} are benchmarks of their own: run one after the other`)
  if (values.all && (chosenOwn.length > 0 || values.scenario !== undefined))
    throw new Error(`--all is every scenario of the servers: it takes no ${others}, ${last} or --scenario`)
  if (values.url !== undefined && chosenOwn.length > 0)
    throw new Error(`--url takes part in the benchmark of servers: it goes with no ${others} or ${last}`)
  if (values.base !== undefined && !values.cluster)
    throw new Error('--base is set beside the servers of --cluster: it goes with nothing else')
  for (const name of ['hostile', 'http', 'joins', 'presence'] as const)
    if (values[name] && values.scenario !== undefined) throw new Error(`--${name} measures everything: it takes no --scenario`)
  const apiKey = values.apikey ?? environment['BENCH_APIKEY'] ?? ''
  const foreign = values.url === undefined ? null : { url: values.url, apiKey, mayElsewhere: values['yes-i-may'] }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : values.client ? 5 : 3))
  if (!Number.isSafeInteger(rounds) || rounds < 1 || rounds > 100) throw new Error('--rounds must be a whole number from 1 to 100')
  const rest = {
    all: values.all,
    foreign,
    watched: values.watched,
    page: values.page,
    http: values.http,
    joins: values.joins,
    hostile: values.hostile,
    cluster: values.cluster,
    presence: values.presence,
    base: values.base ?? null,
    workers: values.workers,
    rounds,
    quick: values.quick,
    json: values.json ?? null,
  }
  const named = <Name extends string>(names: readonly Name[]): Name[] => chosen(names, (name) => name, values.scenario)
  if (values.postgres) return { scenarios: [], postgres: named(postgresScenarios), client: null, ...rest }
  if (values.client) return { scenarios: [], postgres: null, client: named(figureNames), ...rest }
  const asked = values.scenario ?? (values.watched ? watchedScenarios : values.workers ? workersScenarios : undefined)
  return { scenarios: chosen(scenarios, ({ name }) => name, asked), postgres: null, client: null, ...rest }
}

/** All of them where none is named. */
function chosen<Each>(all: readonly Each[], nameOf: (each: Each) => string, names: readonly string[] = all.map(nameOf)): Each[] {
  return names.map((name) => {
    const found = all.find((each) => nameOf(each) === name)
    if (found === undefined) throw new Error(`there is no scenario "${name}"; there are: ${all.map(nameOf).join(', ')}`)
    return found
  })
}
