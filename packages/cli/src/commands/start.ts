import { RealtimeError } from '@tidewire/protocol'
import {
  allObservers,
  logObserver,
  metricsObserver,
  resolveOptions,
  startServer,
  tokenVerifier,
  type Log,
  type Relay,
  type RunningServer,
  type StartOptions,
} from '@tidewire/server'
import { defineCommand, type Command } from '../command.ts'
import { openDatabase, placeOf, type Database } from '../database.ts'
import { exitCodes, failed, misused } from '../failure.ts'
import { keyless } from '../inspector/admin-key.ts'
import { inspectorPage } from '../inspector/inspector-page.ts'
import { describeEnvironment, readEnvironment, type StartConfiguration } from '../start/environment.ts'
import { guardWal } from '../start/wal-guard.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { traced } from '../tracing.ts'
import { version } from '../version.ts'

export const start: Command = defineCommand({
  name: 'start',
  description: 'A server for production. It is configured by the environment, logs JSON lines to stdout, and drains on SIGTERM.',
  args: {},
  epilogue: () => {
    const variables = describeEnvironment()
    const width = Math.max(...variables.map(([name]) => name.length))
    return ['ENVIRONMENT', '', ...variables.map(([name, meaning]) => `  ${name.padEnd(width)}  ${meaning}`)].join('\n')
  },
  async run() {
    const read = readEnvironment(process.env)
    if (!read.ok) throw misused(['The environment has faults:', ...read.faults.map((fault) => `  ${fault}`)].join('\n'))
    const { configuration } = read
    const stop = watchStopSignal()
    const log = logObserver({ level: configuration.logLevel, node: configuration.nodeName })
    for (const sentence of configuration.warnings) log.warn(sentence)
    const database = configuration.database === null ? null : await openFor(configuration, configuration.database, log)
    try {
      const relay =
        configuration.cluster === null ? null : (await import('../start/relay.ts')).clusterRelay(configuration.cluster, database)
      const running = await listen({
        ...(await traced(serverOptions(configuration, log, database, relay))),
        ...database?.ports,
        ...inspectorOptions(configuration, database, log),
      })
      database?.deliverTo(running.server)
      log.info(`listening on ${running.url}`, effective(configuration))
      const signal = await stop.requested
      log.info(`${signal}: draining, ${running.server.connections.size} open`)
      await running.stop()
    } finally {
      await database?.close()
    }
    log.info('stopped')
    await log.flush()
    stop.release()
    return exitCodes.ok
  },
})

async function listen(options: StartOptions): Promise<RunningServer> {
  try {
    return await startServer(options)
  } catch (error) {
    if (!(error instanceof RealtimeError) || error.code !== 'port-in-use') throw error
    throw failed(`Port ${options.port} of ${options.host} is in use: stop the program that listens there, or set PORT.`, error)
  }
}

/** What the server runs with, for the first line of its log. No secret is among it. */
function effective({ options, database }: StartConfiguration): Readonly<Record<string, unknown>> {
  const { limits, privateOnly } = resolveOptions(options)
  const shown = Object.entries(limits).map(([name, limit]) => [name, limit === Infinity ? 'unlimited' : limit])
  return {
    version: version(),
    nodeVersion: process.version,
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
): StartOptions {
  const base = { ...options, host, port, relay, verifier: tokenVerifier({ ...verifier, onKeySetFault: (detail) => log.warn(detail) }) }
  if (metricsSecret === null) return { ...base, observer: log.observer }
  const { observer, metrics } = metricsObserver({
    processMetrics: true,
    ...(database && { slots: database.slots, changeFeed: database.ports.changeFeed ?? null }),
    ...(relay && { relay }),
  })
  return {
    ...base,
    observer: allObservers([log.observer, observer]),
    metrics,
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

/** Starts without a database that does not answer: public channels need none, and the rest comes alive when it does. */
async function openFor({ allowUnboundedWal, cluster, nodeName }: StartConfiguration, given: DatabaseSetting, log: Log): Promise<Database> {
  const { url } = given
  const logReady = (migrated: readonly string[]): void =>
    log.info(`database ${placeOf(url)}: ${migrated.length === 0 ? 'it was up to date' : `applied ${migrated.join(', ')}`}`)
  const database = await openDatabase({
    ...given,
    ...(nodeName === null ? {} : { node: nodeName }),
    hasRelay: cluster !== null,
    guard: async (session) => {
      const warning = await guardWal(session, allowUnboundedWal)
      if (warning !== null) log.warn(warning)
    },
    onReady: logReady,
    onNotice: (sentence) => log.warn(sentence),
    onWaiting: (sentence) => log.warn(`${sentence}. Private channels and Postgres changes wait for it`),
  })
  if (database.migrated !== null) logReady(database.migrated)
  return database
}
