/**
 * The load generator, a process of its own. Takes one job over IPC, reports when the measured time begins and ends, and
 * ends with the result.
 */
import type { GeneratorMessage, Job, Measurement } from '../messages.ts'
import { ClosedLoop } from './closed-loop.ts'
import { LoadSockets } from './load-sockets.ts'
import { OpenLoop } from './open-loop.ts'

/** How long deliveries may take after the last message was sent. */
const DRAIN_MS = 5_000

process.once('message', (job: Job) => {
  run(job).then(
    (message) => report(message, () => process.disconnect()),
    (error: unknown) => report({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) }, () => process.exit(1)),
  )
})
process.once('disconnect', () => process.exit())

async function run(job: Job): Promise<GeneratorMessage> {
  const { load } = job.scenario
  if (load.kind === 'idle') return idle(job)
  const loop =
    load.kind === 'closed'
      ? new ClosedLoop({ ...job.scenario, inFlight: load.inFlight })
      : new OpenLoop({ ...job.scenario, messagesPerSecond: load.messagesPerSecond })
  let fail: (error: Error) => void = () => {}
  const failed = new Promise<never>((_resolve, reject) => (fail = reject))
  const reads = { count: 0 }
  const sockets = await LoadSockets.open({
    ...job,
    delivered: (subscriber, sequence) => loop.delivered(subscriber, sequence),
    wasRead: () => void reads.count++,
    failed: fail,
  })
  try {
    return { kind: 'measured', ...(await Promise.race([measure(job, loop, sockets, reads), failed])) }
  } finally {
    sockets.close()
  }
}

async function measure(
  job: Job,
  loop: ClosedLoop | OpenLoop,
  sockets: LoadSockets,
  reads: { readonly count: number },
): Promise<Measurement> {
  loop.start(sockets.publishers)
  await passed(job.warmUpMs)
  if (loop instanceof OpenLoop) loop.takeLatencies()
  const before = { at: performance.now(), cpu: process.cpuUsage(), deliveries: loop.deliveries, reads: reads.count }
  report({ kind: 'begin' })
  await passed(job.measureMs)
  report({ kind: 'end' })
  const elapsedMs = performance.now() - before.at
  const { user, system } = process.cpuUsage(before.cpu)
  const deliveries = loop.deliveries - before.deliveries
  const readsDone = reads.count - before.reads
  const latenciesMs = loop instanceof OpenLoop ? loop.takeLatencies() : []
  await loop.stop(DRAIN_MS)
  return { deliveries, reads: readsDone, elapsedMs, generatorCpuMicros: user + system, latenciesMs, faults: loop.faults }
}

/** Joins all sockets, and stays until it is asked to leave. */
async function idle(job: Job): Promise<GeneratorMessage> {
  const failed = (error: Error): void => report({ kind: 'failed', reason: error.message }, () => process.exit(1))
  const sockets = await LoadSockets.open({ ...job, delivered: () => failed(new Error('a message, though none was sent')), failed })
  const connections = job.scenario.topics * job.scenario.subscribersPerTopic
  const leave = new Promise((resolve) => process.once('message', resolve))
  report({ kind: 'joined' })
  await leave
  sockets.close()
  return { kind: 'left', connections }
}

function report(message: GeneratorMessage, then: () => void = () => {}): void {
  if (process.connected) process.send?.(message, then)
  else process.exit()
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
