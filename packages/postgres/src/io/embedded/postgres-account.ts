import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { unavailable } from './embedded-fault.ts'

export interface Account {
  readonly uid: number
  readonly gid: number
}

const run = promisify(execFile)

/**
 * Postgres refuses to run as root. For uid 0 this picks the account: the owner of the data directory if there is one,
 * else the user behind `sudo`, else the user `postgres`, else a system user `tidewire` made for it. `null`: run as we are.
 */
export async function postgresAccount(dataDir: string): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null
  return (
    (await ownerOf(dataDir)) ?? sudoUser() ?? (await userNamed('postgres')) ?? (await userNamed('tidewire')) ?? (await makeUser('tidewire'))
  )
}

/** Rejects with `database-unavailable` when the account cannot get to `directory` because a folder above it is closed. */
export async function checkReachable(directory: string, account: Account): Promise<void> {
  for (let path = directory; ; path = dirname(path)) {
    const { mode, uid, gid } = await stat(path)
    const execute = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & execute) === 0)
      throw unavailable(`the embedded Postgres cannot run as root, and uid ${account.uid}, which it would run as, may not enter ${path}.`)
    if (path === dirname(path)) return
  }
}

async function ownerOf(path: string): Promise<Account | null> {
  try {
    const { uid, gid } = await stat(path)
    return uid === 0 ? null : { uid, gid }
  } catch {
    return null
  }
}

function sudoUser(): Account | null {
  const uid = Number(process.env['SUDO_UID'])
  const gid = Number(process.env['SUDO_GID'])
  return Number.isInteger(uid) && Number.isInteger(gid) && uid > 0 ? { uid, gid } : null
}

async function userNamed(name: string): Promise<Account | null> {
  try {
    const uid = Number((await run('id', ['-u', name])).stdout)
    const gid = Number((await run('id', ['-g', name])).stdout)
    return uid > 0 ? { uid, gid } : null
  } catch {
    return null
  }
}

async function makeUser(name: string): Promise<Account> {
  let cause: unknown
  await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', name]).catch((error: unknown) => (cause = error))
  const account = await userNamed(name)
  if (account === null) throw unavailable('the embedded Postgres cannot run as root, and no user could be made to run it.', cause)
  return account
}
