import {
  allObservers,
  metricsObserver,
  noLimits,
  nodeRuntime,
  tokenVerifier,
  type Decision,
  type RunningServer,
  type StartOptions,
} from '@tidewire/server'
import { defineCommand, type Command } from '../command.ts'
import { ActivityLog } from '../dev/activity-log.ts'
import { hostCheck, isLoopback, localUrl } from '../dev/host-check.ts'
import { detour, listenSomewhere } from '../dev/listening.ts'
import { openPages } from '../dev/pages.ts'
import { openProjectDatabase } from '../dev/project-database.ts'
import { exitCodes } from '../failure.ts'
import { keyless, pageSession } from '../inspector/admin-key.ts'
import { inspectorPage, type InspectorPage } from '../inspector/inspector-page.ts'
import { print, printJson } from '../output.ts'
import { openKeys, type ProjectKeys } from '../project/keys.ts'
import { PrivateFolder } from '../project/private-folder.ts'
import { recordServer } from '../project/running-server.ts'
import { watchStopSignal } from '../stop-signal.ts'
import { traced } from '../tracing.ts'
import { parsePort } from '../values.ts'
import { version } from '../version.ts'

/** A server on a developer's machine closes its sockets, and does not wait for slow peers. */
const DRAIN_TIMEOUT_MS = 1_000

export const dev: Command = defineCommand({
  name: 'dev',
  description: 'A server on this machine, with keys that are made once and kept in .tidewire/.',
  args: {
    port: { type: 'string', description: 'Default: 4000, or the next that is free. 0: any' },
    host: { type: 'string', description: 'The address to listen on', default: '127.0.0.1' },
    page: { type: 'string', description: 'Serve this folder at /', valueHint: 'folder' },
    limits: { type: 'boolean', description: 'The limits that `tidewire start` has' },
    db: { type: 'string', description: 'The Postgres to use. Default: one of the project, run from .tidewire/', valueHint: 'url' },
    'keep-slot': { type: 'boolean', description: 'With --db: a slot that stays, so that clients can resume after a restart' },
    'no-db': { type: 'boolean', description: 'No database: no private channels, no Postgres changes' },
    json: { type: 'boolean', description: 'Print one JSON object when ready, and nothing else' },
  },
  async run({ port: givenPort, host, page, limits, db, 'keep-slot': keepSlot, 'no-db': noDb, json }) {
    const port = givenPort === undefined ? undefined : parsePort(givenPort)
    const stop = watchStopSignal()
    const folder = new PrivateFolder(process.cwd())
    const keys = await openKeys(folder)
    let decide = (_decision: Decision): void => {}
    let hasDatabase = false
    const pages = await openPages({
      page,
      anonKey: keys.anonKey,
      inspector: inspectorOf(keys, host, (decision) => decide(decision)),
      hasDatabase: () => hasDatabase,
    })
    const database = { url: db, isOff: noDb, keepsSlot: keepSlot, isQuiet: json, print: json ? (): void => {} : print }
    const chosen = await openProjectDatabase({ folder, ...database })
    hasDatabase = chosen.database !== null
    const runtime = nodeRuntime()
    const activity = new ActivityLog({
      write: json ? () => {} : (line) => print(`${clock()}  ${line}`),
      setTimer: (run, afterMs) => runtime.setTimer(run, afterMs),
    })
    const counts = metricsObserver(chosen.database === null ? {} : { slots: chosen.database.slots })
    const options: StartOptions = {
      ...chosen.database?.ports,
      host,
      hostRule: hostCheck(host),
      verifier: tokenVerifier({ secret: keys.jwtSecret }),
      observer: allObservers([activity, counts.observer]),
      metrics: counts.metrics,
      fallback: pages,
      admin: { verifier: tokenVerifier({ secret: keys.adminSecret }), version: version(), ...chosen.database?.adminPorts },
      drainTimeoutMs: DRAIN_TIMEOUT_MS,
      showsFailedPolicies: true,
      ...(limits ? {} : { limits: noLimits }),
    }
    let running: RunningServer | null = null
    try {
      running = await listenSomewhere(await traced(options), port)
      const { server } = running
      decide = (decision) => server.observer.decision(decision)
      chosen.database?.deliverTo(server)
      const url = localUrl(running.url)
      const databaseUrl = chosen.url === null ? {} : { databaseUrl: chosen.url }
      process.once('exit', recordServer(folder, { url, ...databaseUrl }))
      if (json) printJson({ ready: true, url, ...publicKeys(keys), ...databaseUrl })
      else
        print(
          greeting({ url, keys, database: chosen.description, hasDatabase: chosen.database !== null, note: detour(port, running.port) }),
        )
      await stop.requested
      if (!json) print('Stopping.')
    } finally {
      // Where only its record could not be written, the server listens already.
      await running?.stop()
      await chosen.close()
    }
    stop.release()
    return exitCodes.ok
  },
})

/** Where other machines can reach the server, the page gets no key: `tidewire token --admin` makes one. */
function inspectorOf({ adminSecret, anonKey }: ProjectKeys, host: string, refused: (decision: Decision) => void): InspectorPage {
  const isLocal = isLoopback(host)
  return inspectorPage({ refused, session: () => (isLocal ? pageSession(adminSecret, anonKey) : Promise.resolve({ ...keyless, anonKey })) })
}

function publicKeys({ jwtSecret, anonKey, serviceKey }: ProjectKeys): Omit<ProjectKeys, 'adminSecret'> {
  return { jwtSecret, anonKey, serviceKey }
}

interface Greeting {
  readonly url: string
  readonly keys: ProjectKeys
  readonly database: string
  readonly hasDatabase: boolean
  readonly note: string | null
}

function greeting({ url, keys, database, hasDatabase, note }: Greeting): string {
  return [
    '',
    `  Tidewire ${version()} is ready after ${Math.round(performance.now())} ms. Ctrl-C stops it.${note === null ? '' : ` ${note}`}`,
    '',
    `  URL          ${url}`,
    `  inspector    ${url}/_/`,
    `  anon key     ${keys.anonKey}`,
    `  service key  ${keys.serviceKey}`,
    `  database     ${database}`,
    '',
    '  Open the URL in a browser, and in other terminals try:',
    '',
    '    npx tidewire listen lobby',
    `    npx tidewire send lobby hello '{"from":"the terminal"}'`,
    ...(hasDatabase
      ? [
          '    npx tidewire sql "create table messages (id serial primary key, body text)"',
          `    npx tidewire sql "insert into messages (body) values ('hello')"`,
        ]
      : []),
    '',
  ].join('\n')
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8)
}
