/** `tidewire start --workers N` as it is built, with N from BENCH_WORKERS; all of its processes count. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { serve } from './serve.ts'
import { SECRET, tokenFor } from './tidewire-node.ts'

const bin = fileURLToPath(new URL('../../../packages/cli/bin/tidewire.js', import.meta.url))
const limits = ['CONCURRENT_USERS', 'JOINS_PER_SECOND', 'EVENTS_PER_SECOND'].map((name) => [`TENANT_MAX_${name}`, 'unlimited'])

interface Line {
  readonly msg: string
  readonly process?: number
}

await serve(async () => {
  const workers = Number(process.env['BENCH_WORKERS'])
  const server = spawn(process.execPath, [bin, 'start', '--workers', String(workers)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...Object.fromEntries(limits), PORT: '0', HOST: '127.0.0.1', API_JWT_SECRET: SECRET },
  })
  process.once('exit', () => server.kill('SIGKILL'))
  const pids = [server.pid!]
  let port = 0
  const lines = createInterface({ input: server.stdout })
  await new Promise<void>((resolve, reject) => {
    server.once('exit', () => reject(new Error('tidewire start ended')))
    lines.on('line', (text) => {
      const { msg, process: pid } = JSON.parse(text) as Line
      if (msg.startsWith('listening on ')) port = Number(new URL(msg.slice('listening on '.length)).port)
      if (/^worker \d+ is up$/.test(msg) && pid !== undefined) pids.push(pid)
      if (port > 0 && (workers === 1 || pids.length === workers + 1)) resolve()
    })
  })
  return {
    port,
    pids,
    apiKey: tokenFor('anon'),
    stop: async () => {
      const ended = once(server, 'exit')
      server.kill('SIGTERM')
      await ended
    },
  }
})
