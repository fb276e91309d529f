/** The server with a database, the limits of `tidewire start` on sizes, and a watch on its event loop. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { openPostgresFeed } from '@tidewire/postgres'
import { serve } from './serve.ts'
import { startNode, tokenFor } from './tidewire-node.ts'

const RESOLUTION_MS = 1

await serve(async () => {
  const feed = openPostgresFeed({ databaseUrl: process.env['BENCH_DATABASE_URL'] ?? '', temporarySlot: true, onFault: () => {} })
  const server = await startNode(null, [], { changeFeed: feed.changeFeed })
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delays.enable()
  return {
    port: server.port,
    apiKey: tokenFor('anon'),
    stop: async () => {
      await server.stop()
      await feed.close()
    },
    takeLongestDelayMs: () => {
      const longest = Math.max(0, delays.max / 1e6 - RESOLUTION_MS)
      delays.reset()
      return longest
    },
  }
})
