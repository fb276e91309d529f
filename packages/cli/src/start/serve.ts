import { RealtimeError } from '@tidewire/protocol'
import {
  allObservers,
  logObserver,
  metricsObserver,
  nodeRuntime,
  resolveOptions,
  startServer,
  tokenVerifier,
  type Log,
  type Relay,
  type RunningServer,
  type StartOptions,
} from '@tidewire/server'
import { openDatabase, placeOf, type Database } from '../database.ts'
import { exitCodes, failed, type ExitCode } from '../failure.ts'
import { keyless } from '../inspector/admin-key.ts'
import { inspectorPage } from '../inspector/inspector-page.ts'
import type { StartConfiguration } from './environment.ts'
import { guardWal } from './wal-guard.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { traced } from '../tracing.ts'
import { version } from '../version.ts'
import type { WorkerSide } from '../workers/worker-side.ts'

/** Runs one server until it is asked to stop. `worker`: this process among several behind one port. */
export async function serve(given: StartConfiguration, worker: WorkerSide | null): Promise<ExitCode> {
  const configuration = worker === null ? given : partOf(given, worker)
  const isAlone = configuration.cluster === null && worker === null
  const stop = watchStopSignal()
  const log = logObserver({ level: configuration.logLevel, node: isAlone ? null : configuration.nodeName })
  // The primary of several workers warns once for all.
  if (worker === null) for (const sentence of configuration.warnings) log.warn(sentence)
  const requested = worker === null ? stop.requested : Promise.race([stop.requested, worker.stopRequested])
  /** The database, to be closed even if the start fails. */
  const opened: { database: Database | null } = { database: null }
  const starting = async (): Promise<RunningServer> => {
    const database =
      configuration.database === null
        ? null
        : await openFor(configuration, configuration.database, worker === null ? [] : siblingsOf(given, worker), log)
    opened.database = database
    const relay = await relayFor(configuration, worker, database)
    const running = await listen({
      ...(await traced(serverOptions(configuration, log, database, relay, worker))),
      ...database?.ports,
      ...(worker !== null && { processes: processesOf(given, worker) }),
      ...inspectorOptions(configuration, database, log),
    })
    database?.deliverTo(running.server)
    return running
  }
  try {
    const started = await Promise.race([starting(), requested])
    if (typeof started === 'string') return await endDuringStart(started, log)
    if (worker === null) log.info(`listening on ${started.url}`, effective(configuration))
    else worker.ready(started.url, () => started.server.connections.size)
    const signal = await requested
    if (worker === null) log.info(`${signal}: draining, ${started.server.connections.size} open`)
    await started.stop()
  } finally {
    await opened.database?.close()
    worker?.release()
  }
  if (worker === null) log.info('stopped')
  await log.flush()
  stop.release()
  return exitCodes.ok
}

/** Ends the process at once: there are no clients yet, and Postgres cleans up after sessions. */
export async function endDuringStart(signal: string, log: Log): Promise<never> {
  log.info(`${signal} during the start: stopped`)
  await log.flush()
  process.exit(exitCodes.ok)
}

/** The configuration of one worker: a name of its own, and its share of the database sessions. */
function partOf(configuration: StartConfiguration, { place }: WorkerSide): StartConfiguration {
  const { cluster, database } = configuration
  const nodeName = `${configuration.nodeName}.${place.number}`
  return {
    ...configuration,
    nodeName,
    cluster: cluster === null ? null : { ...cluster, nodeName },
    database: database === null ? null : { ...database, poolSize: Math.max(1, Math.floor(database.poolSize / place.count)) },
  }
}

/** The inspector shows workers as one server, with NATS, too. */
function processesOf({ nodeName }: StartConfiguration, { place }: WorkerSide): NonNullable<StartOptions['processes']> {
  const names = new Set(siblingsOf({ nodeName }, { place }))
  return { prefix: `${place.number}.`, isSibling: ({ name }) => names.has(name) }
}

/** The names of all workers. */
function siblingsOf({ nodeName }: Pick<StartConfiguration, 'nodeName'>, { place }: Pick<WorkerSide, 'place'>): string[] {
  return Array.from({ length: place.count }, (_, at) => `${nodeName}.${at + 1}`)
}

/** With NATS, workers are nodes like all others. */
async function relayFor(
  { cluster, nodeName }: StartConfiguration,
  worker: WorkerSide | null,
  database: Database | null,
): Promise<Relay | null> {
  if (cluster !== null) return (await import('./relay.ts')).clusterRelay(cluster, database)
  if (worker === null) return null
  return (await import('../workers/worker-relay.ts')).workerRelay(worker.place.socketPath, nodeName, nodeRuntime())
}

async function listen(options: StartOptions): Promise<RunningServer> {
  try {
    return await startServer(options)
  } catch (error) {
    if (!(error instanceof RealtimeError) || error.code !== 'port-in-use') throw error
    throw failed(`Port ${options.port} of ${options.host} is in use: stop the program that listens there, or set PORT.`, error)
  }
}

/** Options for the first line of the log. Holds no secret. */
export function effective({ options, database }: StartConfiguration): Readonly<Record<string, unknown>> {
  const { limits, privateOnly } = resolveOptions(options)
  const shown = Object.entries(limits).map(([name, limit]) => [name, limit === Infinity ? 'unlimited' : limit])
  return {
    version: version(),
    nodejs: process.version,
    database: database === null ? 'none' : placeOf(database.url),
    privateOnly,
    limits: Object.fromEntries(shown),
  }
}

type DatabaseSetting = NonNullable<StartConfiguration['database']>

function serverOptions(
  { host, port, options, verifier, metricsSecret }: StartConfiguration,
  log: Log,
  database: Database | null,
  relay: Relay | null,
  worker: WorkerSide | null,
): StartOptions {
  const base = {
    ...options,
    host,
    port,
    relay,
    trouble: worker?.trouble ?? (() => null),
    verifier: tokenVerifier({ ...verifier, onKeySetFault: (detail) => log.warn(detail) }),
  }
  if (metricsSecret === null) return { ...base, observer: log.observer }
  const { observer, metrics } = metricsObserver({
    processMetrics: true,
    ...(database && { slots: database.slots, changeFeed: database.ports.changeFeed ?? null }),
    ...(relay && { relay }),
  })
  return {
    ...base,
    observer: allObservers([log.observer, observer]),
    metrics: worker === null ? metrics : worker.metricsOfAll(metrics),
    metricsVerifier: tokenVerifier({ secret: metricsSecret }),
  }
}

/** In production the inspector asks for a key, and runs no SQL. */
function inspectorOptions(
  { adminSecret }: StartConfiguration,
  database: Database | null,
  { observer }: Log,
): Pick<StartOptions, 'admin' | 'fallback'> {
  if (adminSecret === null) return {}
  return {
    admin: {
      verifier: tokenVerifier({ secret: adminSecret }),
      version: version(),
      explainer: database?.adminPorts.explainer ?? null,
    },
    fallback: inspectorPage({ session: () => Promise.resolve(keyless), refused: (decision) => observer.decision(decision) }),
  }
}

/** Opens the database. One that does not answer does not hold up the start: public channels work, the rest waits for it. */
async function openFor(
  { allowUnboundedWal, nodeName, cluster }: StartConfiguration,
  given: DatabaseSetting,
  siblings: readonly string[],
  log: Log,
): Promise<Database> {
  const { url } = given
  const logReady = (migrated: readonly string[]): void =>
    log.info(`database ${placeOf(url)}: ${migrated.length === 0 ? 'it was up to date' : `applied ${migrated.join(', ')}`}`)
  const database = await openDatabase({
    ...given,
    ...(cluster === null && siblings.length === 0 ? {} : { node: nodeName }),
    hasRelay: cluster !== null,
    siblings,
    guard: async (session) => {
      const warning = await guardWal(session, allowUnboundedWal)
      if (warning !== null) log.warn(warning)
    },
    onReady: logReady,
    onNotice: (sentence) => log.warn(sentence),
    onFault: ({ kind, table, role, message }) => {
      const what = `row changes: ${[kind, table, role].filter((part) => part !== null).join(' ')}: ${message}`
      if (kind === 'stuck') log.error(what)
      else log.warn(what)
    },
    onWaiting: (sentence) => log.warn(`${sentence}. Private channels and Postgres changes wait for it`),
  })
  if (database.migrated !== null) logReady(database.migrated)
  return database
}
