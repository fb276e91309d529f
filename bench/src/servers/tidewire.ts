import { serve } from './serve.ts'
import { startNode, tokenFor } from './tidewire-node.ts'

await serve(async () => {
  const server = await startNode(null)
  return { port: server.port, apiKey: tokenFor('anon'), stop: () => server.stop() }
})
