/** This repository's server, as it is built, with every check of `start` in place: limits are high, not off. */
import { createHmac } from 'node:crypto'
import { startServer, tokenVerifier } from '@tidewire/server'
import { serve } from './serve.ts'

const SECRET = 'the-secret-of-the-benchmark-and-of-nothing-else'
const HIGH = 1_000_000_000

await serve(async () => {
  const nothing = (): void => {}
  const server = await startServer({
    port: 0,
    verifier: tokenVerifier({ secret: SECRET }),
    observer: {
      decision: ({ code, detail }) => console.error(`tidewire: ${code}: ${detail}`),
      connected: nothing,
      disconnected: nothing,
      joined: nothing,
      left: nothing,
      broadcast: nothing,
      received: nothing,
    },
    limits: { maxConnectedUsers: HIGH, maxJoinsPerSecond: HIGH, maxEventsPerSecond: HIGH },
  })
  return { port: server.port, apiKey: token(), stop: () => server.stop() }
})

function token(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const content = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ role: 'anon', exp: Math.floor(Date.now() / 1000) + 86_400 })}`
  return `${content}.${createHmac('sha256', SECRET).update(content).digest('base64url')}`
}
