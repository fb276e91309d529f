/** This repository's server with private channels, on the database that the environment names. */
import { databasePool, policyAuthorizer } from '@tidewire/postgres'
import { serve } from './serve.ts'
import { startNode, tokenFor } from './tidewire-node.ts'

/** As many as `tidewire start` takes where nothing else is said. */
const SESSIONS = 5

await serve(async () => {
  const pool = databasePool({ url: process.env['BENCH_DATABASE_URL'] ?? '', maxConnections: SESSIONS, connectTimeoutMs: 5_000 })
  const authorizer = policyAuthorizer({ withSession: (work) => pool.withSession(work), sessions: SESSIONS })
  const server = await startNode(null, [], { authorizer })
  return {
    port: server.port,
    apiKey: tokenFor('anon'),
    stop: async () => {
      await server.stop()
      await pool.close()
    },
  }
})
