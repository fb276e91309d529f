/** One node of a cluster: BENCH_NATS names the broker, empty for a server without one; BENCH_PREFIX keeps clusters on one broker apart. */
import { checkNatsAddress, natsRelay } from '@tidewire/nats'
import { nodeRuntime, type Relay } from '@tidewire/server'
import { serve } from './serve.ts'
import { startNode, tokenFor } from './tidewire-node.ts'

await serve(async () => {
  const relay = relayTo(process.env['BENCH_NATS'] ?? '')
  const server = await startNode(null, [], { relay })
  return {
    port: server.port,
    apiKey: tokenFor('anon'),
    stop: () => server.stop(),
    // Of the relay: a node without members must get none.
    deliveries: () => relay?.stats().receivedMessages ?? 0,
  }
})

function relayTo(url: string): Relay | null {
  if (url === '') return null
  const checked = checkNatsAddress({ url })
  if (!checked.ok) throw new Error(checked.fault)
  return natsRelay({
    address: checked.address,
    runtime: nodeRuntime(),
    name: String(process.pid),
    version: 'bench',
    prefix: process.env['BENCH_PREFIX'] ?? 'bench',
    databaseId: () => Promise.resolve('none'),
  })
}
