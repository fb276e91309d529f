import { setTimeout as delay } from 'node:timers/promises'
import { Child, cpuMicrosOf, type Core } from './child.ts'
import type { Contestant } from './contestants.ts'
import type { Faults } from '../../packages/cli/src/load/order-check.ts'
import type { GeneratorMessage, Job, Latency, Measurement, ServerMessage, Usage } from './messages.ts'
import type { Scenario } from './scenario.ts'

/** The result of one run of one server in one scenario. */
export type RunResult = { readonly scenario: string; readonly server: string; readonly round: number } & (
  | ({ readonly kind: 'load' } & LoadResult)
  | ({ readonly kind: 'idle' } & IdleResult)
  /** A server that is not ours to set up did not take the load. */
  | { readonly kind: 'refused'; readonly reason: string }
)

export interface IdleResult {
  /** Of resident memory. */
  readonly bytesPerConnection: number
  /** Of the heap, after a garbage collection. */
  readonly heapBytesPerConnection: number
  readonly connections: number
  /** Resident memory before the connections. */
  readonly baseBytes: number
}

export interface LoadResult {
  readonly deliveriesPerSecond: number
  /** Null for a server that runs elsewhere. */
  readonly cpuMicrosPerDelivery: number | null
  /** Deliveries in one read of a socket. */
  readonly deliveriesPerRead: number
  /** Shares of one core; null as above. */
  readonly serverLoad: number | null
  readonly generatorLoad: number
  /** Milliseconds; null for loads without a rate. */
  readonly latency: Latency | null
  readonly faults: Faults
}

export interface RunOptions {
  readonly warmUpMs: number
  readonly measureMs: number
  readonly serverCore: Core
  readonly generatorCore: Core
}

/** A step that takes longer has failed. */
const STEP_TIMEOUT_MS = 60_000
/** Memory is read when nothing has happened for this long. */
const SETTLE_MS = 2_000

const LOOPBACK = process.platform === 'linux' ? ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'] : ['127.0.0.1']

/** Starts a generator, and a server if it does not run already, lets them run and stops both. Rejects when either fails. */
export async function runOnce(contestant: Contestant, scenario: Scenario, round: number, options: RunOptions): Promise<RunResult> {
  if ('address' in contestant) return runForeign(contestant, scenario, round, options)
  const server = new Child<ServerMessage>(contestant.file, options.serverCore)
  const generator = new Child<GeneratorMessage>('./generator/main.ts', options.generatorCore)
  try {
    const ready = await server.next(STEP_TIMEOUT_MS)
    if (ready.kind !== 'ready') throw new Error(`${contestant.name} did not start`)
    const job: Job = {
      scenario,
      address: { host: '127.0.0.1', authority: `127.0.0.1:${ready.port}`, port: ready.port, isTls: false, path: null },
      dialect: contestant.dialect,
      apiKey: ready.apiKey,
      sources: LOOPBACK,
      warmUpMs: options.warmUpMs,
      measureMs: options.measureMs,
    }
    const which = { scenario: scenario.name, server: contestant.name, round }
    if (scenario.load.kind === 'idle') return { ...which, kind: 'idle', ...(await idle(server, generator, job)) }
    return { ...which, kind: 'load', ...(await load({ child: server, pids: ready.pids ?? [server.pid] }, generator, job)) }
  } finally {
    await generator.stop()
    await server.stop()
  }
}

/** A refusal is a result: it must not end the rounds of the others. */
async function runForeign(
  { name, address, apiKey, dialect }: Extract<Contestant, { readonly address: unknown }>,
  scenario: Scenario,
  round: number,
  { generatorCore, warmUpMs, measureMs }: RunOptions,
): Promise<RunResult> {
  const which = { scenario: scenario.name, server: name, round }
  const generator = new Child<GeneratorMessage>('./generator/main.ts', generatorCore)
  const sources = address.host.startsWith('127.') ? LOOPBACK : []
  try {
    return {
      ...which,
      kind: 'load',
      ...(await load(null, generator, { scenario, address, apiKey, dialect, sources, warmUpMs, measureMs })),
    }
  } catch (error) {
    return { ...which, kind: 'refused', reason: error instanceof Error ? error.message : String(error) }
  } finally {
    await generator.stop()
  }
}

/** A server, and the processes that it is made of. */
interface MeasuredServer {
  readonly child: Child<ServerMessage>
  readonly pids: readonly number[]
}

async function load(server: MeasuredServer | null, generator: Child<GeneratorMessage>, job: Job): Promise<LoadResult> {
  generator.send(job)
  await received(generator, 'begin')
  const before = server === null ? null : await cpuMicros(server)
  await received(generator, 'end')
  const after = server === null ? null : await cpuMicros(server)
  const measured = await received(generator, 'measured')
  return summary(measured, before === null || after === null ? null : after - before)
}

function summary(
  { deliveries, reads, elapsedMs, generatorCpuMicros, latency, faults }: Measurement,
  serverCpuMicros: number | null,
): LoadResult {
  return {
    deliveriesPerSecond: (deliveries * 1000) / elapsedMs,
    cpuMicrosPerDelivery: serverCpuMicros === null ? null : serverCpuMicros / deliveries,
    deliveriesPerRead: deliveries / reads,
    serverLoad: serverCpuMicros === null ? null : serverCpuMicros / 1000 / elapsedMs,
    generatorLoad: generatorCpuMicros / 1000 / elapsedMs,
    latency,
    faults,
  }
}

async function idle(server: Child<ServerMessage>, generator: Child<GeneratorMessage>, job: Job): Promise<IdleResult> {
  const base = await usage(server)
  const baseHeap = await heapBytes(server)
  generator.send(job)
  await received(generator, 'joined')
  await delay(SETTLE_MS)
  const full = await usage(server)
  const fullHeap = await heapBytes(server)
  generator.send('leave')
  const { connections } = await received(generator, 'left')
  return {
    bytesPerConnection: (full.rssBytes - base.rssBytes) / connections,
    heapBytesPerConnection: (fullHeap - baseHeap) / connections,
    connections,
    baseBytes: base.rssBytes,
  }
}

async function received<Kind extends GeneratorMessage['kind']>(
  generator: Child<GeneratorMessage>,
  kind: Kind,
): Promise<Extract<GeneratorMessage, { readonly kind: Kind }>> {
  const message = await generator.next(STEP_TIMEOUT_MS)
  if (message.kind === 'failed') throw new Error(message.reason)
  if (message.kind !== kind) throw new Error(`the generator said "${message.kind}" instead of "${kind}"`)
  return message as Extract<GeneratorMessage, { readonly kind: Kind }>
}

async function cpuMicros({ child, pids }: MeasuredServer): Promise<number> {
  const spent = pids.map((pid) => cpuMicrosOf(pid))
  return spent.includes(null) ? (await usage(child)).cpuMicros : spent.reduce<number>((sum, micros) => sum + (micros ?? 0), 0)
}

async function heapBytes(server: Child<ServerMessage>): Promise<number> {
  server.send('heap')
  const message = await server.next(STEP_TIMEOUT_MS)
  if (message.kind !== 'heap') throw new Error('the server does not report its heap')
  return message.bytes
}

async function usage(server: Child<ServerMessage>): Promise<Usage> {
  server.send('usage')
  const message = await server.next(STEP_TIMEOUT_MS)
  if (message.kind !== 'usage') throw new Error('the server does not report its usage')
  return message
}
