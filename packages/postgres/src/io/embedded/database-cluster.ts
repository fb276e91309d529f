import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, chmod, chown, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { databaseFault, unavailable } from './embedded-fault.ts'
import type { Account } from './postgres-account.ts'

/** Name of the superuser and of the database of a cluster made here. */
export const SUPERUSER = 'postgres'

/** Settings written into a new cluster's `postgresql.conf`, where they may be changed later. */
const CLUSTER_SETTINGS = `
max_slot_wal_keep_size = 1GB
timezone = 'UTC'
log_timezone = 'UTC'
`

export function serverUrl(password: string, port: number): string {
  return `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/postgres`
}

export function passwordFile(dataDir: string): string {
  return `${dataDir}.password`
}

/** The superuser's password. Made at the first call; the file is readable for its owner only. */
export async function clusterPassword(dataDir: string, mayCreate: boolean): Promise<string> {
  const file = passwordFile(dataDir)
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    if (!mayCreate) throw databaseFault(`${file}, which holds the password of ${dataDir}, is gone: put it back or remove both.`)
  }
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 })
  try {
    // A link, unlike a rename, leaves the file alone that another process has made in the meantime.
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  return (await readFile(file, 'utf8')).trim()
}

export interface ClusterMaker {
  readonly initdb: string
  readonly majorVersion: number
  /** The owner of the cluster; `null`: our own account. */
  readonly account: Account | null
}

/**
 * Runs `initdb`. The cluster is made beside its place and moved there when it is whole, so that neither a crash in the
 * middle nor a second process doing the same leaves half a cluster behind. False: another process was first.
 */
export async function createCluster({ initdb, majorVersion, account }: ClusterMaker, dataDir: string, password: string): Promise<boolean> {
  const draft = `${dataDir}.new-${randomBytes(6).toString('hex')}`
  const secret = `${draft}.password`
  try {
    await mkdir(draft, { mode: 0o700 })
    await writeFile(secret, password, { mode: 0o600 })
    if (account !== null) {
      await chown(draft, account.uid, account.gid)
      await chown(secret, account.uid, account.gid)
    }
    const args = initdbArguments(draft, secret, majorVersion)
    await promisify(execFile)(initdb, args, { cwd: '/', env: clusterEnvironment(), ...(account ?? {}) })
    await appendFile(join(draft, 'postgresql.conf'), CLUSTER_SETTINGS)
    await chmod(draft, 0o700)
    return await moveInto(draft, dataDir)
  } catch (cause) {
    const detail = (cause as { stderr?: string }).stderr?.trim().split('\n').at(-1) ?? (cause as Error).message
    throw unavailable(`A database could not be made in ${dirname(dataDir)}: ${detail}.`, cause)
  } finally {
    await rm(draft, { recursive: true, force: true })
    await rm(secret, { force: true })
  }
}

/** Major version of the cluster in `dataDir`, or `null` when there is none. */
export async function clusterVersion(dataDir: string): Promise<number | null> {
  try {
    return Number.parseInt(await readFile(join(dataDir, 'PG_VERSION'), 'utf8'), 10)
  } catch {
    return null
  }
}

/** Environment of the programs, without variables that would change what they do (`PGDATA`, `PGPORT`, `LC_ALL` …). */
export function clusterEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LANG: 'C', LC_ALL: 'C' }
}

function initdbArguments(dataDir: string, pwfile: string, majorVersion: number): string[] {
  return [
    `--pgdata=${dataDir}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${pwfile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    // Postgres' own collations: the same order on every system, whichever locales it has.
    '--locale=C',
    ...(majorVersion >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : []),
    '--no-instructions',
  ]
}

async function moveInto(draft: string, dataDir: string): Promise<boolean> {
  try {
    await rename(draft, dataDir)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false
    throw error
  }
}
