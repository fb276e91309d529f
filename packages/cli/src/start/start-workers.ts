import { logObserver, type Log } from '@tidewire/server'
import { exitCodes, reasonOf, type ExitCode } from '../failure.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { Primary } from '../workers/primary.ts'
import { databaseRoom, workerCount, type DatabaseRoom } from '../workers/worker-count.ts'
import type { StartConfiguration } from './environment.ts'
import { effective, endDuringStart, serve } from './serve.ts'

/** How long a worker may take after its drain, to close the database and the relay. */
const CLOSE_MS = 10_000
const DEFAULT_DRAIN_MS = 5_000

/** Serves one port with several processes, until a signal ends all of them. */
export async function startWorkers(configuration: StartConfiguration): Promise<ExitCode> {
  const { options, nodeName, logLevel } = configuration
  const stop = watchStopSignal()
  const log = logObserver({ level: logLevel, node: nodeName })
  const room = await Promise.race([roomFor(configuration, log), stop.requested])
  if (typeof room === 'string') return endDuringStart(room, log)
  const { count, warning } = workerCount(configuration.workers, room)
  if (warning !== null) log.warn(warning)
  if (count === 1) {
    stop.release()
    return serve(configuration, null)
  }
  for (const sentence of configuration.warnings) log.warn(sentence)
  const stopWithinMs = (options.drainDelayMs ?? 0) + (options.drainTimeoutMs ?? DEFAULT_DRAIN_MS) + CLOSE_MS
  const primary = await Primary.start({ count, log, stopWithinMs })
  const outcome = await Promise.race([primary.listen(), stop.requested])
  const isRefused = typeof outcome === 'object' && 'code' in outcome
  if (typeof outcome === 'string') {
    log.info(`${outcome} during the start`)
    await primary.stop(outcome)
  } else if (!isRefused) {
    log.info(`listening on ${outcome.url}`, { ...effective(configuration), workers: count })
    const signal = await stop.requested
    log.info(`${signal}: draining, ${primary.connections} open`)
    await primary.stop(signal)
  } else await primary.stop('SIGTERM')
  if (!isRefused) log.info('stopped')
  await log.flush()
  stop.release()
  if (!isRefused) return exitCodes.ok
  return outcome.code === exitCodes.usage ? exitCodes.usage : exitCodes.failure
}

/** Free senders and slots; `null`: no database, or it does not answer, which each worker reports. */
async function roomFor({ database }: StartConfiguration, log: Log): Promise<DatabaseRoom | null> {
  if (database === null) return null
  try {
    return await databaseRoom(database.url)
  } catch (error) {
    log.warn(`the database does not say how many workers it has room for: ${reasonOf(error)}`)
    return null
  }
}
