import { execFile } from 'node:child_process'
import { appendFile, chown, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/**
 * Copies the files of a Postgres that is stopped, and of its password, so that a server on the copy is a streaming standby of
 * the one that `primaryUrl` leads to. `pg_basebackup` is not among the programs that npm brings.
 */
export async function copyAsStandby(primaryDataDir: string, dataDir: string, primaryUrl: string): Promise<void> {
  // Keeps owners and modes: Postgres refuses files of others.
  await promisify(execFile)('cp', ['-a', primaryDataDir, dataDir])
  await promisify(execFile)('cp', ['-a', `${primaryDataDir}.password`, `${dataDir}.password`])
  const { hostname, port, username, password } = new URL(primaryUrl)
  const conninfo = `host=${hostname} port=${port} user=${username} password=${password} application_name=standby`
  await appendFile(join(dataDir, 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`)
  await makeStandby(dataDir)
}

/** A server that starts on these files recovers until it is promoted. */
export async function makeStandby(dataDir: string): Promise<void> {
  const signal = join(dataDir, 'standby.signal')
  await writeFile(signal, '')
  const { uid, gid } = await stat(dataDir)
  await chown(signal, uid, gid)
}
