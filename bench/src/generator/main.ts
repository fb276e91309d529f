/**
 * The load generator in a process of its own, over raw sockets. Takes one job over IPC, reports when the measured time begins and ends,
 * and ends with the result.
 */
import { LoadGenerator } from '../../../packages/cli/src/load/load-generator.ts'
import type { GeneratorMessage, Job, Measurement } from '../messages.ts'
import { rehearsed } from './raw-load.ts'

/** A load in which nothing comes for so long has come to an end. */
const TIMEOUT_MS = 30_000
/** A closed loop only has its end to see. In a virtual machine, timers that are due soon make each wait for the sockets cost microseconds more. */
const CLOSED_TICK_MS = 100

process.once('message', (job: Job) => {
  run(job).then(
    (message) => report(message, () => process.disconnect()),
    (error: unknown) => report({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }, () => process.exit(1)),
  )
})
process.once('disconnect', () => process.exit())

async function run(job: Job): Promise<GeneratorMessage> {
  const { topics, subscribersPerTopic, publishers, load } = job.scenario
  const reads = { count: 0 }
  const subscribers = topics * subscribersPerTopic
  const generator = new LoadGenerator({
    topics,
    subscribers,
    publishers,
    pace: load.kind === 'idle' ? { kind: 'closed', inFlight: 0 } : load,
    durationMs: Infinity,
    maxMessages: Infinity,
    timeoutMs: TIMEOUT_MS,
    open: await rehearsed(job, () => void reads.count++),
  })
  try {
    await generator.gather()
    if (load.kind === 'idle') return await idle(generator, subscribers)
    const [measured] = await Promise.all([
      measure(job, generator, reads),
      generator.run({ tickMs: load.kind === 'rate' ? 0 : CLOSED_TICK_MS }),
    ])
    return { kind: 'measured', ...measured, faults: generator.loop.faults }
  } finally {
    generator.close()
  }
}

/** Measures while the generator runs, and stops it. */
async function measure(
  { warmUpMs, measureMs, scenario }: Job,
  { loop }: LoadGenerator,
  reads: { readonly count: number },
): Promise<Omit<Measurement, 'faults'>> {
  await passed(warmUpMs)
  loop.forgetLatencies()
  const before = { at: performance.now(), cpu: process.cpuUsage(), deliveries: loop.deliveries, reads: reads.count }
  report({ kind: 'begin' })
  await passed(measureMs)
  report({ kind: 'end' })
  const elapsedMs = performance.now() - before.at
  const { user, system } = process.cpuUsage(before.cpu)
  const [p50, p99] = [loop.latencies.within(0.5), loop.latencies.within(0.99)]
  loop.stop()
  return {
    deliveries: loop.deliveries - before.deliveries,
    reads: reads.count - before.reads,
    elapsedMs,
    generatorCpuMicros: user + system,
    latency: scenario.load.kind === 'rate' && p50 !== null && p99 !== null ? { p50, p99 } : null,
  }
}

/** Stays until it is asked to leave. */
async function idle(generator: LoadGenerator, connections: number): Promise<GeneratorMessage> {
  const leave = new Promise((resolve) => process.once('message', resolve))
  report({ kind: 'joined' })
  await leave
  if (generator.fault !== null) throw generator.fault
  return { kind: 'left', connections }
}

function report(message: GeneratorMessage, then: () => void = () => {}): void {
  if (process.connected) process.send?.(message, then)
  else process.exit()
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
