/** The server with a database, the limits of `tidewire start` on sizes, and a watch on its event loop. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { openPostgresFeed } from '@tidewire/postgres'
import { tokenVerifier } from '@tidewire/server'
import { serve } from './serve.ts'
import { startNode, tokenFor } from './tidewire-node.ts'

const RESOLUTION_MS = 1
const ADMIN_SECRET = 'the-secret-of-an-inspector-that-nobody-opens'

await serve(async () => {
  const feed = openPostgresFeed({ databaseUrl: process.env['BENCH_DATABASE_URL'] ?? '', temporarySlot: true, onFault: () => {} })
  const admin = { verifier: tokenVerifier({ secret: ADMIN_SECRET }), version: 'bench' }
  const server = await startNode(admin, [], { changeFeed: feed.changeFeed })
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  const turns = watchTurns()
  return {
    port: server.port,
    apiKey: tokenFor('anon'),
    stop: async () => {
      await server.stop()
      await feed.close()
    },
    takeLongestTurnMs: turns,
    takeLongestDelayMs: () => {
      const longest = Math.max(0, delays.max / 1e6 - RESOLUTION_MS)
      delays.reset()
      return longest
    },
  }
})

/** The timer runs once in a turn that is longer than its interval, so the CPU time between two runs is that of a turn, however busy the machine is. */
function watchTurns(): () => number {
  let longest = 0
  let last = process.cpuUsage()
  setInterval(() => {
    const { user, system } = process.cpuUsage(last)
    last = process.cpuUsage()
    longest = Math.max(longest, (user + system) / 1_000)
  }, RESOLUTION_MS)
  return () => {
    const taken = longest
    longest = 0
    return taken
  }
}
