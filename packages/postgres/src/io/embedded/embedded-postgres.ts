import { spawn } from 'node:child_process'
import { closeSync, existsSync, fstatSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { mkdir, realpath, rm } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { RealtimeError } from '@tidewire/protocol'
import { codeOf } from '../../catalog/database-fault.ts'
import {
  clusterEnvironment,
  clusterPassword,
  clusterVersion,
  createCluster,
  passwordFile,
  serverUrl,
  SUPERUSER,
} from './database-cluster.ts'
import { databaseFault } from './embedded-fault.ts'
import { checkReachable, postgresAccount, type Account } from './postgres-account.ts'
import { checkRunnable, findPostgresBinaries, type PostgresBinaries } from './postgres-binaries.ts'
import { isAnotherProgram, isRunning, postmasterFile, readPostmasterFile } from './postmaster-file.ts'
import { RunningServer, type EmbeddedPostgres } from './running-server.ts'

/** Where the database lives, and how it runs. */
export interface EmbeddedPostgresOptions {
  /** Where the database lives. Made when missing. Beside it stand `<dataDir>.password` (mode 600) and `<dataDir>.log`. */
  readonly dataDir: string
  /** Folder of another Postgres, 14 or newer, with `bin/` in it: `/usr/lib/postgresql/17`. Default: the one that npm brought. */
  readonly installation?: string | undefined
  /** TCP port on 127.0.0.1. Default: any free one. A server that is adopted keeps the port it has. */
  readonly port?: number
  /** Server settings by name, for instance `{ fsync: 'off' }`; they win over the ones set here. Only used when a server is started. */
  readonly settings?: Readonly<Record<string, string>>
  /** Called when the server ends without `stop()` having been called. The argument is the end of its log. */
  readonly onExit?: (log: string) => void
}

/** A log longer than this is started over at the next start. */
const LOG_LIMIT_BYTES = 16 * 1024 * 1024

/** How long a start may take, crash recovery included. */
const START_TIMEOUT_MS = 60_000

/** How long the sessions of a process that was just killed may take to end. */
const SESSION_END_MS = 1_000

interface Launch {
  readonly options: EmbeddedPostgresOptions
  readonly binaries: PostgresBinaries
  readonly account: Account | null
  readonly dataDir: string
  readonly password: string
  readonly created: boolean
  readonly deadline: number
}

/**
 * Starts a Postgres, from the binaries in node_modules unless the options name others: UTF-8, TCP on 127.0.0.1 only, SCRAM with a random password,
 * `wal_level=logical`. Takes over the server that a killed process left behind on the same `dataDir`.
 *
 * Rejects with a `RealtimeError`: `database-unavailable` when it cannot run here (the sentence says why and what to do) or
 * when another living process already runs it; `port-in-use`; `bad-option`.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  checkSettings(options.settings ?? {})
  const deadline = Date.now() + START_TIMEOUT_MS
  const binaries = await findPostgresBinaries(options.installation)
  const wanted = resolve(options.dataDir)
  await mkdir(dirname(wanted), { recursive: true })
  const dataDir = join(await realpath(dirname(wanted)), basename(wanted))
  const account = await postgresAccount(dataDir)
  const majorVersion = await checkRunnable(binaries, account)
  if (account !== null) await checkReachable(dirname(dataDir), account)

  const version = await clusterVersion(dataDir)
  if (version !== null && version !== majorVersion)
    throw databaseFault(
      `${dataDir} was made by Postgres ${version}, and this is Postgres ${majorVersion}: move it away, or run it with its own version and --db.`,
    )
  const password = await clusterPassword(dataDir, version === null)
  const created = version === null && (await createCluster({ initdb: binaries.initdb, majorVersion, account }, dataDir, password))
  return adoptOrLaunch({ options, binaries, account, dataDir, password, created, deadline })
}

async function adoptOrLaunch(launch: Launch): Promise<EmbeddedPostgres> {
  for (;;) {
    const running = await findRunning(launch)
    if (running !== null) return running
    const fault = await spawnServer(launch)
    if (fault === null) {
      const started = await findRunning(launch, true)
      if (started !== null) return started
    } else if (!fault.retryable || Date.now() > launch.deadline) throw fault
    // What is retried clears up by itself: another starter's file, or the last children of a server that was killed.
    await delay(50)
  }
}

/** The server that runs on this data directory, once it answers; `null` when there is none. */
async function findRunning(launch: Launch, ownChild = false): Promise<EmbeddedPostgres | null> {
  const { dataDir, password, created, options } = launch
  let takenUntil = Date.now() + SESSION_END_MS
  let silentUntil = Math.min(Date.now() + 10_000, launch.deadline)
  for (;;) {
    const postmaster = readPostmasterFile(dataDir)
    if (postmaster === null || !isRunning(postmaster.pid)) return null
    if (isAnotherProgram(postmaster.pid)) {
      // Postgres would take this id for a server of its own. Its shared memory check still guards the data.
      await rm(postmasterFile(dataDir), { force: true })
      return null
    }
    if (postmaster.status === 'ready' && postmaster.port > 0) {
      const { pid, port } = postmaster
      const facts = { url: serverUrl(password, port), port, pid, dataDir, adopted: !ownChild, created }
      const server = new RunningServer(facts, () => options.onExit?.(readLog(dataDir, 0).slice(-8_192)))
      const answer = await server.takeCharge()
      if (answer.kind === 'held') return server.handle
      // The session of a process killed a moment ago may still be ending.
      if (answer.kind === 'taken' && Date.now() > takenUntil)
        throw databaseFault(`Another process is using the database in ${dataDir}: stop it, or choose another directory.`)
      if (answer.kind === 'unreachable' && codeOf(answer.cause) === '28P01')
        throw databaseFault(`The password in ${passwordFile(dataDir)} is not the one of ${SUPERUSER}.`, { cause: answer.cause })
      if (answer.kind !== 'unreachable') silentUntil = launch.deadline
    } else if (postmaster.status === 'starting') {
      silentUntil = launch.deadline
      takenUntil = Date.now() + SESSION_END_MS
    }
    if (Date.now() > silentUntil)
      throw databaseFault(`Process ${postmaster.pid} runs the database in ${dataDir} but does not answer: stop it and start again.`)
    await delay(20)
  }
}

/** Starts a server and waits until it takes connections. Answers the fault that kept it from that. */
async function spawnServer(launch: Launch): Promise<RealtimeError | null> {
  const { binaries, account, dataDir, options } = launch
  const port = options.port ?? (await freePort())
  const log = openLog(dataDir)
  const logStart = fstatSync(log).size
  const child = spawn(binaries.postgres, serverArguments(dataDir, port, options.settings ?? {}), {
    cwd: '/',
    env: clusterEnvironment(),
    stdio: ['ignore', log, log],
    // A process group of its own: Ctrl-C in the terminal must reach us alone, for the server is to be stopped after its clients.
    detached: true,
    ...(account ?? {}),
  })
  closeSync(log)
  let ended = false
  child.once('error', () => (ended = true))
  child.once('exit', () => (ended = true))
  child.unref()
  for (;;) {
    const postmaster = readPostmasterFile(dataDir)
    if (postmaster !== null && postmaster.pid === child.pid && postmaster.status === 'ready') return null
    if (ended) return startFault(dataDir, readLog(dataDir, logStart), port, options.port !== undefined)
    if (Date.now() > launch.deadline) {
      child.kill('SIGQUIT')
      return databaseFault(`Postgres did not get ready in time; its log is ${logFile(dataDir)}.`)
    }
    await delay(10)
  }
}

function serverArguments(dataDir: string, port: number, settings: Readonly<Record<string, string>>): string[] {
  const all = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    wal_level: 'logical',
    // Where synchronous_commit is off, a change is read once the WAL writer has flushed it: after 200 ms by default.
    wal_writer_delay: '10ms',
    ...settings,
  }
  return ['-D', dataDir, '-p', String(port), ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

function startFault(dataDir: string, log: string, port: number, portGiven: boolean): RealtimeError {
  if (log.includes('could not bind'))
    return new RealtimeError('port-in-use', `Port ${port} on 127.0.0.1 is taken: give another one to the database.`, {
      retryable: !portGiven,
    })
  const retryable = log.includes('lock file "postmaster.pid"') || log.includes('pre-existing shared memory block')
  const reason = /FATAL: *(.*)/.exec(log)?.[1] ?? `its log is ${logFile(dataDir)}`
  return databaseFault(`Postgres did not start: ${reason}`, { retryable })
}

function checkSettings(settings: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(settings))
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name) || typeof value !== 'string')
      throw new RealtimeError('bad-option', `settings: "${name}" is not the name of a server setting with a text as its value.`)
}

function logFile(dataDir: string): string {
  return `${dataDir}.log`
}

function openLog(dataDir: string): number {
  const file = logFile(dataDir)
  if (existsSync(file) && statSync(file).size > LOG_LIMIT_BYTES) rmSync(file)
  return openSync(file, 'a', 0o600)
}

function readLog(dataDir: string, from: number): string {
  return existsSync(logFile(dataDir)) ? readFileSync(logFile(dataDir)).subarray(from).toString('utf8') : ''
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((done, fail) => probe.once('error', fail).listen(0, '127.0.0.1', done))
  const { port } = probe.address() as AddressInfo
  await new Promise((done) => probe.close(done))
  return port
}
