import { allObservers, metricsObserver, noLimits, tokenVerifier, type StartOptions } from '@tidewire/server'
import { defineCommand, type Command } from '../command.ts'
import { openDatabase, placeOf, type Database } from '../database.ts'
import { ActivityLog } from '../dev/activity-log.ts'
import { hostCheck, localUrl } from '../dev/host-check.ts'
import { detour, listenSomewhere } from '../dev/listening.ts'
import { openPages } from '../dev/pages.ts'
import { exitCodes, misused } from '../failure.ts'
import { print, printJson } from '../output.ts'
import { openKeys, type ProjectKeys } from '../project/keys.ts'
import { PrivateFolder } from '../project/private-folder.ts'
import { recordServer } from '../project/running-server.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { parsePort, postgresUrl } from '../values.ts'
import { version } from '../version.ts'

/** Whoever is connected to a server on a developer's machine is told, but not waited for. */
const DRAIN_TIMEOUT_MS = 1_000

const DATABASE_SESSIONS = 5

export const dev: Command = defineCommand({
  name: 'dev',
  description: 'A server on this machine, with keys that are made once and kept in .tidewire/.',
  args: {
    port: { type: 'string', description: 'Default: 4000, or the next that is free. 0: any' },
    host: { type: 'string', description: 'The address to listen on', default: '127.0.0.1' },
    page: { type: 'string', description: 'Serve this folder at /', valueHint: 'folder' },
    limits: { type: 'boolean', description: 'The limits that `tidewire start` has' },
    db: { type: 'string', description: 'The Postgres to use', valueHint: 'url' },
    'no-db': { type: 'boolean', description: 'No database: no private channels, no Postgres changes' },
    json: { type: 'boolean', description: 'Print one JSON object when ready, and nothing else' },
  },
  async run({ port: givenPort, host, page, limits, db, 'no-db': noDb, json }) {
    const port = givenPort === undefined ? undefined : parsePort(givenPort)
    const stop = watchStopSignal()
    const folder = new PrivateFolder(process.cwd())
    const keys = await openKeys(folder)
    const pages = await openPages({ page, anonKey: keys.anonKey })
    const database = await chooseDatabase(db, noDb)
    const activity = new ActivityLog({
      write: json ? () => {} : (line) => print(`${clock()}  ${line}`),
      after: (delayMs, callback) => setTimeout(callback, delayMs).unref(),
    })
    const counts = metricsObserver()
    const options: StartOptions = {
      ...database?.ports,
      host,
      hostRule: hostCheck(host),
      verifier: tokenVerifier({ secret: keys.jwtSecret }),
      observer: allObservers([activity, counts.observer]),
      metrics: counts.metrics,
      fallback: pages,
      drainTimeoutMs: DRAIN_TIMEOUT_MS,
      ...(limits ? {} : { limits: noLimits }),
    }
    try {
      const running = await listenSomewhere(options, port)
      const url = localUrl(running.url)
      process.once('exit', recordServer(folder, url))
      if (json) printJson({ ready: true, url, ...keys, ...(database === null ? {} : { databaseUrl: db }) })
      else print(greeting({ url, keys, database: database === null ? null : placeOf(db!), note: detour(port, running.port) }))
      await stop.requested
      if (!json) print('Stopping.')
      await running.stop()
    } finally {
      await database?.close()
    }
    stop.release()
    return exitCodes.ok
  },
})

async function chooseDatabase(url: string | undefined, isOff: boolean): Promise<Database | null> {
  if (url === undefined) return null
  if (isOff) throw misused('--db and --no-db exclude each other.')
  if (postgresUrl(url) === undefined) throw misused('--db must be a URL such as postgres://user:password@host:5432/name.')
  return openDatabase({ url, poolSize: DATABASE_SESSIONS })
}

interface Greeting {
  readonly url: string
  readonly keys: ProjectKeys
  readonly database: string | null
  readonly note: string | null
}

function greeting({ url, keys, database, note }: Greeting): string {
  return [
    '',
    `  Tidewire ${version()} is ready after ${Math.round(performance.now())} ms. Ctrl-C stops it.${note === null ? '' : ` ${note}`}`,
    '',
    `  URL          ${url}`,
    `  anon key     ${keys.anonKey}`,
    `  service key  ${keys.serviceKey}`,
    ...(database === null ? [] : [`  database     ${database}: private channels and replay; row changes are yet to come`]),
    '',
    '  Open the URL in a browser, and in another terminal try:',
    '',
    '    npx tidewire send lobby hello',
    '',
  ].join('\n')
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}
