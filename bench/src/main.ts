/** Measures this server beside two others, or this client beside another, in turns, and writes down what it saw. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { chooseCores, describeMachine, type Machine } from './machine.ts'
import { killChildren } from './child.ts'
import type { FigureName } from './client/figures.ts'
import { benchClient } from './client/main.ts'
import { formatClientReport } from './client/report.ts'
import { contestants, type Contestant } from './contestants.ts'
import { foreignServer } from './foreign.ts'
import { benchHttp, formatHttpReport } from './http/main.ts'
import { benchJoins, formatJoinsReport } from './joins/main.ts'
import { benchHostile } from './hostile/main.ts'
import { measureUnfinished } from './hostile/memory.ts'
import { formatHostileReport } from './hostile/report.ts'
import { overview } from './overview.ts'
import { benchCluster } from './cluster/main.ts'
import { formatClusterReport } from './cluster/report.ts'
import { benchPage } from './page/main.ts'
import { formatPageReport } from './page/report.ts'
import { benchPresence, formatPresenceReport } from './presence/main.ts'
import { parseOptions, USAGE, type BenchOptions } from './options.ts'
import { benchPostgres, type PostgresScenario } from './postgres/main.ts'
import { formatPostgresReport } from './postgres/report.ts'
// Not by name, like the load generator: the command is no library.
import { progressText } from '../../packages/cli/src/progress-bar.ts'
import { formatReport, reportHead } from './report.ts'
import { runOnce, type RunOptions, type RunResult } from './run.ts'
import { smaller, type Scenario } from './scenario.ts'
import { benchWatched, watchedTable } from './watched/main.ts'
import { benchWorkers, workersTable } from './workers.ts'

const RESULTS = new URL('../results/', import.meta.url)

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    killChildren()
    process.exit(130)
  })

try {
  const options = parseOptions(process.argv.slice(2), process.env)
  if (options.postgres !== null) await benchFeed(options, options.postgres)
  else if (options.client !== null) await benchClients(options, options.client)
  else if (options.watched) await benchWatching(options)
  else if (options.page) await benchFrames(options)
  else if (options.http) await benchPublishing(options)
  else if (options.joins) await benchJoining(options)
  else if (options.hostile) await benchHostileFrames(options)
  else if (options.cluster) await benchNodes(options)
  else if (options.presence) await benchEntries(options)
  else if (options.workers) await benchProcesses(options)
  else await bench(options)
} catch (error) {
  killChildren()
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
  process.exitCode = 2
}

async function bench(options: BenchOptions): Promise<void> {
  const cores = chooseCores()
  const run: RunOptions = { ...cores, warmUpMs: options.quick ? 200 : 1_000, measureMs: options.quick ? 500 : 4_000 }
  const chosen = options.quick ? options.scenarios.map(smaller) : options.scenarios
  const foreign = options.foreign === null ? null : foreignServer(options.foreign)
  const servers = foreign === null ? contestants : [...contestants, foreign]
  const results: RunResult[] = []
  const startedAt = performance.now()
  for (let round = 0; round < options.rounds; round++)
    for (const [at, scenario] of chosen.entries()) {
      const willing = servers.filter((server) => takesPart(server, scenario, results))
      for (const result of await inTurn(willing, scenario, round, run)) results.push(result)
      const share = (round * chosen.length + at + 1) / (options.rounds * chosen.length)
      console.error(progressText('Benchmark', share, performance.now() - startedAt, ''))
    }
  const machine = describeMachine()
  const date = today()
  const page = formatReport({
    machine,
    date,
    command: command(),
    conditions: [
      `${options.rounds === 1 ? '1 round' : `${options.rounds} rounds`}, medians; spread is (highest − lowest) / median. Servers take turns within a round, in another order each round.`,
      `Each run: a new server process and a new generator process, ${run.warmUpMs} ms to warm up, ${run.measureMs} ms measured, 200 B messages, 127.0.0.1.`,
      cores.serverCore === null
        ? 'Processes were not held to cores.'
        : `The server is held to core ${cores.serverCore}, the generator to core ${cores.generatorCore}. Where the generator's core is full, deliveries/s is a lower bound: then compare CPU µs per delivery.`,
      ...(foreign === null
        ? []
        : [
            `"${foreign.name}" was running already: not restarted, not held to a core, its limits and its log are its own; its CPU and memory are not known here, so \`idle\` is not run on it. What it refuses is not asked again.`,
          ]),
    ],
    ...(options.all ? { overview: overview(servers, chosen, results) } : {}),
    scenarios: chosen,
    results,
  })
  keep(options, page, { machine, date, results })
}

async function benchFeed({ rounds, quick, json }: BenchOptions, chosen: readonly PostgresScenario[]): Promise<void> {
  const { results, version, conditions } = await benchPostgres({ scenarios: chosen, rounds, quick })
  const described = describeMachine(['pg', 'ws'])
  const machine = { ...described, packages: [`Postgres ${version}`, ...described.packages] }
  const date = today()
  const page = formatPostgresReport({ machine, date, command: command(), conditions }, results)
  keep({ quick, json }, page, { machine, date, results }, 'postgres')
}

async function benchClients({ rounds, quick, json }: BenchOptions, figures: readonly FigureName[]): Promise<void> {
  const samples = await benchClient({ figures, rounds, quick })
  const machine = describeMachine(['@supabase/realtime-js', 'esbuild', 'ws'])
  const date = today()
  const conditions = [
    `${rounds === 1 ? '1 round' : `${rounds} rounds`}, medians; spread is (highest − lowest) / median; ratios are medians of those within a round. The clients take turns, each figure in a process of its own.`,
    'Receiving, presence and memory: on a server of one line in the same process. Rejoining and what is left: on `tidewire start` over 127.0.0.1, with `ws`.',
    'Both connect on Node with `ws`. Rejoining waits at random up to a second before it connects again, realtime-js always a second.',
  ]
  const page = formatClientReport({ machine, date, command: command(), conditions }, samples)
  keep({ quick, json }, page, { machine, date, samples }, 'client')
}

async function benchWatching({ scenarios, rounds, quick, json }: BenchOptions): Promise<void> {
  const cores = chooseCores()
  const chosen = quick ? scenarios.map(smaller) : scenarios
  // Long enough for the figures, which come twice a second.
  const turnMs = quick ? 100 : 1_000
  const pairs = await benchWatched({ ...cores, scenarios: chosen, rounds, turnMs, warmUpMs: quick ? 500 : 3_000 })
  const machine = describeMachine()
  const date = today()
  const conditions = [
    `A new server and a new load for each round and scenario; an inspector, payloads and all, joins and leaves in turns of ${turnMs / 1_000} s. A turn with it is held against the one beside it without; medians of these pairs.`,
    'CPU is that of the whole server process, by the kernel.',
  ]
  const page = [...reportHead({ machine, date, command: command(), conditions }), ...watchedTable(chosen, pairs), ''].join('\n')
  keep({ quick, json }, page, { machine, date, pairs }, 'watched')
}

async function benchFrames({ rounds, quick, json }: BenchOptions): Promise<void> {
  const { runs, memory, browser } = await benchPage({
    rounds,
    measureMs: quick ? 500 : 4_000,
    burstMessages: quick ? 50_000 : 1_000_000,
  })
  const described = describeMachine(['preact', 'playwright-core'])
  const machine = { ...described, packages: [`Chromium ${browser}`, ...described.packages] }
  const date = today()
  const page = formatPageReport({ machine, date, command: command() }, runs, memory)
  keep({ quick, json }, page, { machine, date, runs, memory }, 'page')
}

async function benchPublishing({ rounds, quick, json }: BenchOptions): Promise<void> {
  const runs = await benchHttp({ ...chooseCores(), rounds, quick })
  const machine = describeMachine(['ws'])
  const date = today()
  const page = formatHttpReport({ machine, date, command: command() }, runs, rounds)
  keep({ quick, json }, page, { machine, date, runs }, 'http')
}

async function benchJoining({ rounds, quick, json }: BenchOptions): Promise<void> {
  const { runs, version } = await benchJoins({ rounds, quick })
  const described = describeMachine(['pg', 'ws'])
  const machine = { ...described, packages: [`Postgres ${version}`, ...described.packages] }
  const date = today()
  const page = formatJoinsReport({ machine, date, command: command() }, runs, rounds)
  keep({ quick, json }, page, { machine, date, runs }, 'joins')
}

async function benchHostileFrames({ rounds, quick, json }: BenchOptions): Promise<void> {
  const { serverCore } = chooseCores()
  const { figures, postgres } = await benchHostile({ rounds, serverCore })
  const memory = await measureUnfinished(300, rounds, serverCore)
  const machine = describeMachine(['pg', 'ws'])
  const date = today()
  const page = formatHostileReport({ machine, date, command: command() }, postgres, figures, memory)
  keep({ quick, json }, page, { machine, date, figures }, 'hostile')
}

async function benchNodes({ rounds, quick, base, json }: BenchOptions): Promise<void> {
  const figures = await benchCluster({ rounds, quick, base })
  const machine = describeMachine(['@nats-io/transport-node', 'ws'])
  const date = today()
  const page = formatClusterReport({ machine, date, command: command() }, figures, rounds)
  keep({ quick, json }, page, { machine, date, figures }, 'cluster')
}

async function benchEntries({ quick, json }: BenchOptions): Promise<void> {
  const figures = await benchPresence(quick)
  const machine = describeMachine(['@nats-io/transport-node', 'ws'])
  const date = today()
  const page = formatPresenceReport({ machine, date, command: command() }, figures)
  keep({ quick, json }, page, { machine, date, figures }, 'presence')
}

async function benchProcesses({ scenarios, rounds, quick, json }: BenchOptions): Promise<void> {
  const chosen = quick ? scenarios.map(smaller) : scenarios
  const times = quick ? { warmUpMs: 200, measureMs: 500 } : { warmUpMs: 2_000, measureMs: 5_000 }
  const samples = await benchWorkers({ scenarios: chosen, rounds, ...times })
  const machine = describeMachine()
  const date = today()
  const conditions = [
    `${rounds === 1 ? '1 round' : `${rounds} rounds`}, medians. \`tidewire start --workers\` with 1 and 2 workers, 200 B messages, 127.0.0.1; members and senders are on whichever worker took their socket.`,
    'CPU is that of all processes of the server by the kernel, the one that holds the port included.',
    'The generator and all processes share the cores of the machine; nothing is held to one. On two cores the generator takes what the workers could use.',
  ]
  const page = [...reportHead({ machine, date, command: command(), conditions }), ...workersTable(chosen, samples), ''].join('\n')
  keep({ quick, json }, page, { machine, date, samples }, 'workers')
}

function today(): string {
  return new Date().toISOString().slice(0, 10)
}

function command(): string {
  // A key may be no secret, but a page that is kept is no place for one.
  const hidden = ['--apikey', '--base', '--json']
  const words = process.argv
    .slice(2)
    .map((word, at, all) => (hidden.includes(all[at - 1] ?? '') ? '…' : word.replace(/^(--(?:apikey|base|json)=).*/, '$1…')))
  return ['npm run bench', ...(words.length > 0 ? ['--', ...words] : [])].join(' ')
}

/** Of a server that is not ours to start, memory is not known; and what it refused once it is not asked again. */
function takesPart(server: Contestant, scenario: Scenario, results: readonly RunResult[]): boolean {
  if ('file' in server) return true
  if (scenario.load.kind === 'idle') return false
  return !results.some((result) => result.kind === 'refused' && result.server === server.name && result.scenario === scenario.name)
}

/** Every server once; the one that begins changes from round to round. */
async function inTurn(servers: readonly Contestant[], scenario: Scenario, round: number, run: RunOptions): Promise<RunResult[]> {
  const results: RunResult[] = []
  for (let turn = 0; turn < servers.length; turn++) {
    const contestant = servers[(turn + round) % servers.length]!
    const result = await runOnce(contestant, scenario, round, run)
    results.push(result)
    console.error(`round ${round + 1}  ${scenario.name.padEnd(10)} ${contestant.name.padEnd(10)} ${inBrief(result)}`)
  }
  return results
}

function inBrief(result: RunResult): string {
  if (result.kind === 'idle') return `${Math.round(result.bytesPerConnection)} B/connection`
  if (result.kind === 'refused') return `refused: ${result.reason}`
  const { lost, duplicated, reordered } = result.faults
  const latency = result.latency === null ? '' : `p50 ${result.latency.p50.toFixed(2)} ms, p99 ${result.latency.p99.toFixed(2)} ms, `
  return (
    `${latency}${Math.round(result.deliveriesPerSecond)}/s, ${result.cpuMicrosPerDelivery?.toFixed(3) ?? '?'} µs each, ${result.deliveriesPerRead.toFixed(1)} at once, ` +
    `server ${result.serverLoad === null ? '?' : Math.round(result.serverLoad * 100)} %, generator ${Math.round(result.generatorLoad * 100)} %, ` +
    `lost ${lost}, duplicated ${duplicated}, reordered ${reordered}`
  )
}

/** Prints the page, and keeps it unless it is of a quick run; writes what it is made of where `--json` says. */
function keep(
  { quick, json }: Pick<BenchOptions, 'quick' | 'json'>,
  page: string,
  data: { readonly machine: Machine; readonly date: string; readonly [samples: string]: unknown },
  subject?: string,
): void {
  console.log(`\n${page}`)
  if (json !== null) writeFileSync(json, `${JSON.stringify(data, null, 2)}\n`)
  if (quick) return
  mkdirSync(RESULTS, { recursive: true })
  const name = [data.date, data.machine.commit.split(' ')[0], ...(subject === undefined ? [] : [subject])].join('-')
  const file = new URL(`${name}.md`, RESULTS)
  writeFileSync(file, page)
  console.error(`written to ${file.pathname}`)
}
