/**
 * What an open inspector costs the server. One server and one load: the inspector joins and leaves in turns of
 * a second, and each turn with it is held against the one beside it without: whole runs differ by more than it costs.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Child, cpuMicrosOf, type Core } from '../child.ts'
import type { GeneratorMessage, Job, ServerMessage, ServerRequest } from '../messages.ts'
import { table } from '../report.ts'
import type { Scenario } from '../scenario.ts'
import { median, medianRange } from '../statistics.ts'

/** Scenarios that are measured where none are named. */
export const watchedScenarios: readonly string[] = ['1x100-8', '1x1000-1']

const STEP_TIMEOUT_MS = 60_000
/** What was begun before the inspector came or went is not counted. */
const SETTLE_MS = 60
/** A server closes the sockets of subscribers that say nothing for a minute: no load lasts longer. */
const PAIRS_A_ROUND = 15

export interface WatchedOptions {
  readonly scenarios: readonly Scenario[]
  readonly rounds: number
  readonly turnMs: number
  readonly warmUpMs: number
  readonly serverCore: Core
  readonly generatorCore: Core
}

/** CPU microseconds of the server per delivery, in two turns beside each other. */
export interface Pair {
  readonly scenario: string
  readonly alone: number
  readonly watched: number
}

export async function benchWatched(options: WatchedOptions): Promise<readonly Pair[]> {
  const pairs: Pair[] = []
  for (let round = 0; round < options.rounds; round++)
    for (const scenario of options.scenarios) {
      for await (const pair of turns(scenario, options)) {
        pairs.push(pair)
        const { alone, watched } = pair
        console.error(
          `${scenario.name.padEnd(10)} ${alone.toFixed(3)} µs alone, ${watched.toFixed(3)} µs watched, ${share(watched / alone)}`,
        )
      }
    }
  return pairs
}

async function* turns(scenario: Scenario, { turnMs, warmUpMs, serverCore, generatorCore }: WatchedOptions): AsyncGenerator<Pair> {
  const server = new Child<ServerMessage>('./servers/tidewire-watched.ts', serverCore)
  const generator = new Child<GeneratorMessage>('./generator/main.ts', generatorCore)
  const ask = async <Kind extends ServerMessage['kind']>(
    request: ServerRequest | null,
    kind: Kind,
  ): Promise<Extract<ServerMessage, { readonly kind: Kind }>> => {
    if (request !== null) server.send(request)
    const answer = await server.next(STEP_TIMEOUT_MS)
    if (answer.kind !== kind) throw new Error(`the server said "${answer.kind}" instead of "${kind}"`)
    return answer as Extract<ServerMessage, { readonly kind: Kind }>
  }
  const spent = async (): Promise<{ readonly cpuMicros: number; readonly deliveries: number }> => {
    const { cpuMicros, deliveries = 0 } = await ask('usage', 'usage')
    return { cpuMicros: cpuMicrosOf(server.pid) ?? cpuMicros, deliveries }
  }
  const turn = async (request: 'watch' | 'unwatch'): Promise<number> => {
    await ask(request, 'done')
    await delay(SETTLE_MS)
    const before = await spent()
    await delay(turnMs)
    const after = await spent()
    if (after.deliveries === before.deliveries) throw new Error('nothing was delivered any more')
    return (after.cpuMicros - before.cpuMicros) / (after.deliveries - before.deliveries)
  }
  try {
    const { port, apiKey } = await ask(null, 'ready')
    const job: Job = {
      scenario,
      address: { host: '127.0.0.1', authority: `127.0.0.1:${port}`, port, isTls: false, path: null },
      dialect: 'phoenix',
      apiKey,
      sources: ['127.0.0.1'],
      warmUpMs,
      // It is stopped before.
      measureMs: 2 * PAIRS_A_ROUND * (turnMs + 10 * SETTLE_MS) + STEP_TIMEOUT_MS,
    }
    generator.send(job)
    const begun = await generator.next(STEP_TIMEOUT_MS)
    if (begun.kind !== 'begin') throw new Error(begun.kind === 'failed' ? begun.reason : `the generator said "${begun.kind}"`)
    for (let pair = 0; pair < PAIRS_A_ROUND; pair++) {
      // The one that begins changes, so that a drift of the machine hurts both alike.
      const first = await turn(pair % 2 === 0 ? 'unwatch' : 'watch')
      const second = await turn(pair % 2 === 0 ? 'watch' : 'unwatch')
      const [alone, watched] = pair % 2 === 0 ? [first, second] : [second, first]
      yield { scenario: scenario.name, alone, watched }
    }
  } finally {
    await generator.stop()
    await server.stop()
  }
}

/** Medians; the ratio is that of the pairs, with the range in which its median lies nineteen times of twenty. */
export function watchedTable(scenarios: readonly Scenario[], pairs: readonly Pair[]): readonly string[] {
  const rows = scenarios.map(({ name, title }) => {
    const of = pairs.filter(({ scenario }) => scenario === name)
    const ratios = of.map(({ alone, watched }) => watched / alone)
    const [low, high] = medianRange(ratios)
    return [
      title,
      String(of.length),
      median(of.map(({ alone }) => alone)).toFixed(3),
      median(of.map(({ watched }) => watched)).toFixed(3),
      share(median(ratios)),
      `${share(low)} to ${share(high)}`,
    ]
  })
  return table(['scenario', 'pairs', 'CPU µs per delivery alone', 'watched', 'more', '95 % range'], rows)
}

/** A ratio as what is added: `+1.2 %`. */
function share(ratio: number): string {
  const percent = (ratio - 1) * 100
  return `${percent < 0 ? '−' : '+'}${Math.abs(percent).toFixed(1)} %`
}
