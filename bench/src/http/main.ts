import { Child, cpuMicrosOf, type Core } from '../child.ts'
import type { ServerMessage } from '../messages.ts'
import { reportHead, table, type ReportHead } from '../report.ts'
import { median, percentile } from '../statistics.ts'
import type { HttpJob, HttpLoadMessage } from './load.ts'

const CONTESTANTS = [
  { name: 'tidewire', file: './servers/tidewire.ts' },
  { name: 'bare', file: './servers/bare-http.ts' },
] as const

interface HttpScenario {
  readonly title: string
  readonly route: HttpJob['route']
  readonly inFlight: number
  readonly messagesPerRequest: number
}

const SCENARIOS: readonly HttpScenario[] = [
  { title: 'POST /api/broadcast, 1 message, 1 in flight', route: 'batch', inFlight: 1, messagesPerRequest: 1 },
  { title: 'POST /api/broadcast, 1 message, 20 in flight', route: 'batch', inFlight: 20, messagesPerRequest: 1 },
  { title: 'POST /api/broadcast, 100 messages, 1 in flight', route: 'batch', inFlight: 1, messagesPerRequest: 100 },
  { title: 'POST /api/broadcast/{topic}/events/{event}, 1 in flight', route: 'single', inFlight: 1, messagesPerRequest: 1 },
  { title: 'POST /api/broadcast/{topic}/events/{event}, 20 in flight', route: 'single', inFlight: 20, messagesPerRequest: 1 },
]

export interface HttpRun {
  readonly server: string
  readonly scenario: string
  readonly requestsPerSecond: number
  readonly cpuMicrosPerRequest: number
  readonly arrivalP50Ms: number
  readonly arrivalP99Ms: number
  readonly answerP50Ms: number
  readonly latestP99Ms: number
  readonly lost: number
}

export interface HttpBenchOptions {
  readonly serverCore: Core
  readonly generatorCore: Core
  readonly rounds: number
  readonly quick: boolean
}

const STEP_TIMEOUT_MS = 60_000

/** Publishing over HTTP with one subscriber, beside a bare Node server. */
export async function benchHttp({ rounds, quick, ...cores }: HttpBenchOptions): Promise<readonly HttpRun[]> {
  const runs: HttpRun[] = []
  for (let round = 0; round < rounds; round++)
    for (const scenario of SCENARIOS)
      for (let turn = 0; turn < CONTESTANTS.length; turn++) {
        const run = await runOnce(CONTESTANTS[(turn + round) % CONTESTANTS.length]!, scenario, cores, quick)
        runs.push(run)
        console.error(
          `round ${round + 1}  ${scenario.title}  ${run.server.padEnd(8)} ${run.requestsPerSecond.toFixed(0)}/s, ${run.cpuMicrosPerRequest.toFixed(0)} µs, arrival p50 ${run.arrivalP50Ms.toFixed(2)} ms, lost ${run.lost}`,
        )
      }
  return runs
}

async function runOnce(
  { name, file }: (typeof CONTESTANTS)[number],
  { title, route, inFlight, messagesPerRequest }: HttpScenario,
  { serverCore, generatorCore }: Pick<HttpBenchOptions, 'serverCore' | 'generatorCore'>,
  quick: boolean,
): Promise<HttpRun> {
  const server = new Child<ServerMessage>(file, serverCore)
  const load = new Child<HttpLoadMessage>('./http/load.ts', generatorCore)
  const spent = async (): Promise<number> => {
    server.send('usage')
    const usage = await server.next(STEP_TIMEOUT_MS)
    if (usage.kind !== 'usage') throw new Error(`the server said "${usage.kind}" instead of "usage"`)
    return cpuMicrosOf(server.pid) ?? usage.cpuMicros
  }
  const next = async <Kind extends HttpLoadMessage['kind']>(kind: Kind): Promise<Extract<HttpLoadMessage, { readonly kind: Kind }>> => {
    const message = await load.next(STEP_TIMEOUT_MS)
    if (message.kind !== kind) throw new Error(message.kind === 'failed' ? message.reason : `the load said "${message.kind}"`)
    return message as Extract<HttpLoadMessage, { readonly kind: Kind }>
  }
  try {
    const ready = await server.next(STEP_TIMEOUT_MS)
    if (ready.kind !== 'ready') throw new Error(`the server said "${ready.kind}" instead of "ready"`)
    const job: HttpJob = {
      port: ready.port,
      apiKey: ready.apiKey,
      route,
      inFlight,
      messagesPerRequest,
      warmUpMs: quick ? 300 : 1_500,
      measureMs: quick ? 500 : 4_000,
    }
    load.send(job)
    await next('begin')
    const before = await spent()
    await next('end')
    const after = await spent()
    const { requests, elapsedMs, arrivalMs, answerMs, lateMs, lost } = await next('measured')
    return {
      server: name,
      scenario: title,
      requestsPerSecond: (requests / elapsedMs) * 1_000,
      cpuMicrosPerRequest: (after - before) / requests,
      arrivalP50Ms: median(arrivalMs),
      arrivalP99Ms: percentile(arrivalMs, 0.99),
      answerP50Ms: median(answerMs),
      latestP99Ms: percentile(lateMs, 0.99),
      lost,
    }
  } finally {
    await load.stop()
    await server.stop()
  }
}

export function formatHttpReport(head: Omit<ReportHead, 'conditions'>, runs: readonly HttpRun[], rounds: number): string {
  const conditions = [
    `${rounds === 1 ? '1 round' : `${rounds} rounds`}, medians. Each run: a new server process and a new load process on cores of their own, one subscriber, payloads of about 170 B, sockets that stay open.`,
    '"bare" is `node:http` with `JSON.parse` and `ws.send`, and checks no token. "after the answer": from the answer to the message; below 0 the message was first.',
  ]
  const columns = ['requests/s', 'CPU µs a request', 'arrival p50 ms', 'p99', 'answer p50 ms', 'after the answer, p99 ms', 'lost']
  return [
    ...reportHead({ ...head, conditions }),
    ...SCENARIOS.flatMap(({ title }) => [
      `## ${title}`,
      '',
      ...table(
        ['server', ...columns],
        CONTESTANTS.map(({ name }) => {
          const of = runs.filter((run) => run.server === name && run.scenario === title)
          const middle = (figure: Exclude<keyof HttpRun, 'server' | 'scenario'>): number => median(of.map((run) => run[figure]))
          return [
            name,
            middle('requestsPerSecond').toFixed(0),
            middle('cpuMicrosPerRequest').toFixed(0),
            middle('arrivalP50Ms').toFixed(2),
            middle('arrivalP99Ms').toFixed(2),
            middle('answerP50Ms').toFixed(2),
            middle('latestP99Ms').toFixed(2),
            String(Math.max(...of.map(({ lost }) => lost))),
          ]
        }),
      ),
      '',
    ]),
  ].join('\n')
}
