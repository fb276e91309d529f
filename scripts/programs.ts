/** The programs that some tests need and npm does not bring: found, installed where that is possible, or named as missing. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromiumPath, programPath, pythonFolder, pythonOf } from '../packages/testkit/src/programs/available.ts'
import { natsServerPath } from '../packages/testkit/src/programs/nats-server.ts'
import { isInstalled, otherPostgres } from '../packages/testkit/src/programs/postgres-versions.ts'
import { otherRuntimes, runtimesFolder, type OtherRuntime } from '../packages/testkit/src/programs/runtimes.ts'
import { run } from './child.ts'

/** Where a program is, or one line that says how to get it. */
export type Program = { readonly path: string } | { readonly missing: string }

/** The release of the Python client that the tests run against the server. */
const realtimeRelease = 'realtime==2.34.1'

const installsWithApt = process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')
const installTimeoutMs = 300_000

export function findChromium(): Program {
  const found = chromiumPath({ ...process.env, TIDEWIRE_CHROMIUM: undefined })
  if (found !== undefined) return { path: found }
  if (installsWithApt) aptInstall('chromium', 'fonts-liberation')
  const installed = chromiumPath({ ...process.env, TIDEWIRE_CHROMIUM: undefined })
  if (installed !== undefined) return { path: installed }
  return { missing: 'Chromium is missing, browser tests are skipped: install Chrome or Chromium, or set CHROMIUM_PATH to one' }
}

/** A server of NATS, through which several nodes are one. On Debian the package starts a service, which tests do not use. */
export function findNatsServer(): Program {
  const find = (): string | undefined => natsServerPath({ ...process.env, TIDEWIRE_NATS_SERVER: undefined })
  if (find() === undefined && installsWithApt) aptInstall('nats-server')
  const path = find()
  if (path !== undefined) return { path }
  return {
    missing:
      'nats-server is missing, tests on many nodes are skipped: install it (Debian: apt install nats-server), or set NATS_SERVER_PATH',
  }
}

/** The newest NATS server that is tested on; Debian has the oldest. Built with Go where that is installed, and kept. */
const NEWEST_NATS = 'v2.15.3'

export function findNewestNats(): Program {
  const folder = join(runtimesFolder, `nats-${NEWEST_NATS}`)
  const path = join(folder, 'nats-server')
  if (existsSync(path)) return { path }
  const go = programPath('go') ?? ['/usr/local/go/bin/go'].find((each) => existsSync(each))
  if (go === undefined)
    return { missing: `Go is missing: tests on many nodes run on the installed nats-server only, not on ${NEWEST_NATS}` }
  console.log(`Building nats-server ${NEWEST_NATS} into .runtimes/ with Go`)
  mkdirSync(folder, { recursive: true })
  const built = run(go, ['install', `github.com/nats-io/nats-server/v2@${NEWEST_NATS}`], {
    quiet: true,
    timeoutMs: 1_200_000,
    env: { GOBIN: folder },
  })
  if (existsSync(path)) return { path }
  return { missing: `nats-server ${NEWEST_NATS} could not be built: ${lastLine(built.output)}` }
}

/** A virtual environment with the Python client, made once and kept. */
export function findPython(): Program {
  const python = pythonOf(pythonFolder)
  const mark = join(pythonFolder, 'tidewire.txt')
  if (existsSync(python) && existsSync(mark) && readFileSync(mark, 'utf8') === realtimeRelease) return { path: python }
  const fault = makePython(python)
  if (fault !== undefined) return { missing: `The Python client is missing, its tests are skipped: ${fault}` }
  writeFileSync(mark, realtimeRelease)
  return { path: python }
}

/** Other versions of Node, and Bun, that the client is tested on: installed once from npm, and kept. */
export function findRuntimes(): Program {
  const isThere = ({ path }: OtherRuntime): boolean => existsSync(path)
  return findPackages(otherRuntimes, isThere, { what: 'the tests of the client', without: 'the client is not tested there' })
}

/** Older versions of Postgres that the server is tested on: the same. */
export function findPostgres(): Program {
  return findPackages(otherPostgres, isInstalled, { what: 'the tests on them', without: 'the server is not tested there' })
}

interface Kept {
  readonly title: string
  readonly name: string
  readonly package: string
}

function findPackages<Each extends Kept>(
  wanted: readonly Each[],
  isThere: (each: Each) => boolean,
  { what, without }: { readonly what: string; readonly without: string },
): Program {
  const lacking = (): string => titlesOf(wanted.filter((each) => !isThere(each)))
  if (lacking() === '') return { path: runtimesFolder }
  console.log(`Installing ${lacking()} into .runtimes/ for ${what}`)
  mkdirSync(runtimesFolder, { recursive: true })
  writeFileSync(join(runtimesFolder, 'package.json'), '{ "private": true }\n')
  // What is not named npm would take away again.
  const others = [...otherRuntimes, ...otherPostgres].filter(({ name }) => existsSync(join(runtimesFolder, 'node_modules', name)))
  const packages = new Set([...wanted, ...others].map((each) => `${each.name}@npm:${each.package}`))
  const quietly = ['--no-audit', '--no-fund', '--ignore-scripts', '--no-save', '--loglevel=error']
  const npm = run('npm', ['install', '--prefix', runtimesFolder, ...quietly, ...packages], { quiet: true, timeoutMs: installTimeoutMs })
  if (lacking() === '') return { path: runtimesFolder }
  return { missing: `${lacking()} could not be installed, ${without}: ${lastLine(npm.output)}` }
}

function titlesOf(packages: readonly Kept[]): string {
  return packages.map(({ title }) => title).join(', ')
}

/** The proxies of the server guide. Not installed here: on Debian that would start them. */
export function findProxies(): Program {
  const lacking = ['nginx', 'caddy'].filter((name) => programPath(name) === undefined)
  if (lacking.length === 0) return { path: '' }
  return { missing: `${lacking.join(' and ')} missing, the server guide's configuration is not tried: install ${lacking.join(' and ')}` }
}

function makePython(python: string): string | undefined {
  console.log(`Making .venv with ${realtimeRelease} for the tests of the Python client`)
  let system = systemPython()
  if (system === undefined && installsWithApt) {
    aptInstall('python3', 'python3-venv')
    system = systemPython()
  }
  if (system === undefined) return 'install Python 3.9 or newer'
  if (!makeEnvironment(system)) {
    // Debian keeps the part of venv that installs pip in a package of its own.
    if (installsWithApt) aptInstall('python3-venv')
    if (!installsWithApt || !makeEnvironment(system)) return 'install the venv module of Python (Debian: apt install python3-venv)'
  }
  const pip = run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', realtimeRelease], {
    quiet: true,
    timeoutMs: installTimeoutMs,
  })
  return pip.code === 0 ? undefined : `pip could not install ${realtimeRelease}: ${lastLine(pip.output)}`
}

function makeEnvironment(system: readonly [string, ...string[]]): boolean {
  rmSync(pythonFolder, { recursive: true, force: true })
  const [command, ...before] = system
  return run(command, [...before, '-m', 'venv', pythonFolder], { quiet: true, timeoutMs: installTimeoutMs }).code === 0
}

function systemPython(): [string, ...string[]] | undefined {
  const candidates: [string, ...string[]][] = process.platform === 'win32' ? [['py', '-3'], ['python']] : [['python3'], ['python']]
  const recent = 'import sys; sys.exit(sys.version_info < (3, 9))'
  return candidates.find(([command, ...before]) => run(command, [...before, '-c', recent], { quiet: true }).code === 0)
}

function aptInstall(...packages: readonly string[]): void {
  console.log(`Installing ${packages.join(', ')} with apt-get`)
  const options = { quiet: true, timeoutMs: installTimeoutMs, env: { DEBIAN_FRONTEND: 'noninteractive' } }
  run('apt-get', ['update', '-qq'], options)
  const { code, output } = run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], options)
  if (code !== 0) console.error(`apt-get: ${lastLine(output)}`)
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
