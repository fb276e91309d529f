/** The same server with an inspector that looks on, payloads and all, from a process of its own. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { tokenVerifier } from '@tidewire/server'
import { serve } from './serve.ts'
import { startNode, tokenFor } from './tidewire-node.ts'

const ADMIN_SECRET = 'another-secret-of-the-benchmark'

await serve(async () => {
  const server = await startNode({ verifier: tokenVerifier({ secret: ADMIN_SECRET }), version: 'bench' })
  const url = `${server.url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${tokenFor('tidewire_admin', ADMIN_SECRET)}`
  const node = [process.execPath, '--import', import.meta.resolve('tsx'), fileURLToPath(new URL('./inspector.ts', import.meta.url)), url]
  // What it does itself is not the server's to pay for: it is not held to the server's core.
  const [command, ...words] = process.platform === 'linux' ? ['taskset', '-c', `0-${availableCores() - 1}`, ...node] : node
  const inspector = spawn(command!, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  process.once('exit', () => inspector.kill())
  await once(inspector.stdout, 'data')
  return { port: server.port, apiKey: tokenFor('anon'), stop: () => server.stop() }
})

/** This process is held to one; the machine may have more. */
function availableCores(): number {
  return Math.max(2, availableParallelism())
}
