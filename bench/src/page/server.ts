import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { endWithUs } from '../child.ts'
import { signToken } from '../token.ts'

const API_SECRET = 'secret-of-the-benchmark'
const ADMIN_SECRET = 'another-secret-of-the-benchmark'
const command = fileURLToPath(new URL('../../../packages/cli/bin/tidewire.js', import.meta.url))

export interface PageServer {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly anonKey: string
  readonly adminKey: string
  stop(): Promise<void>
}

/** `tidewire start` with its inspector, and a limit of broadcasts that the load does not meet. Rejects when it ends instead. */
export async function startPageServer(): Promise<PageServer> {
  const child = spawn(process.execPath, [command, 'start'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      API_JWT_SECRET: API_SECRET,
      TIDEWIRE_ADMIN_SECRET: ADMIN_SECRET,
      TIDEWIRE_INSPECTOR: 'true',
      TENANT_MAX_EVENTS_PER_SECOND: '100000000',
      TENANT_MAX_JOINS_PER_SECOND: '100000',
      HOST: '127.0.0.1',
      PORT: '0',
    },
  })
  endWithUs(child)
  const url = await addressOf(child)
  return {
    url,
    anonKey: signToken({ role: 'anon' }, API_SECRET),
    adminKey: signToken({ role: 'tidewire_admin' }, ADMIN_SECRET),
    stop: async () => {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}

async function addressOf(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) {
    const found = /listening on ([^\s"]+)/.exec(line)
    if (found === null) continue
    child.stdout!.resume()
    return found[1]!
  }
  throw new Error('the server ended before it listened')
}
