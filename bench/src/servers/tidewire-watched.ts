/** The same server with an inspector that is joined between "watch" and "unwatch", payloads and all, from a process of its own. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { allObservers, tokenVerifier } from '@tidewire/server'
import { serve } from './serve.ts'
import { startNode, tokenFor } from './tidewire-node.ts'

const ADMIN_SECRET = 'another-secret-of-the-benchmark'

await serve(async () => {
  let deliveries = 0
  const counter = { ...allObservers([]), broadcast: (_: string, receivers: number) => void (deliveries += receivers) }
  const server = await startNode({ verifier: tokenVerifier({ secret: ADMIN_SECRET }), version: 'bench' }, [counter])
  const url = `${server.url.replace('http', 'ws')}/socket/websocket?vsn=2.0.0&apikey=${tokenFor('tidewire_admin', ADMIN_SECRET)}`
  const node = [process.execPath, '--import', import.meta.resolve('tsx'), fileURLToPath(new URL('./inspector.ts', import.meta.url)), url]
  // What it does itself is not the server's to pay for: it stays away from the server's core.
  const [command, ...words] = process.platform === 'linux' ? ['taskset', '-c', otherCores(), ...node] : node
  const inspector = spawn(command!, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  process.once('exit', () => inspector.kill())
  const lines = createInterface({ input: inspector.stdout })[Symbol.asyncIterator]()
  await lines.next()
  let isWatched = false
  return {
    port: server.port,
    apiKey: tokenFor('anon'),
    deliveries: () => deliveries,
    watch: async (wanted) => {
      if (wanted === isWatched) return
      isWatched = wanted
      inspector.stdin.write(wanted ? 'watch\n' : 'unwatch\n')
      await lines.next()
    },
    stop: () => server.stop(),
  }
})

/** Those that this process is not held to; all where it is held to none. */
function otherCores(): string {
  const own = /^Cpus_allowed_list:\s*(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  const all = cpus().map((_, core) => String(core))
  return all.filter((core) => all.length === 1 || core !== own).join(',')
}
