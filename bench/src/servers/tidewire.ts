/** This repository's server, as it is built, with the checks, counts and logs of `tidewire start` in place: limits are high, not off. */
import { createHmac } from 'node:crypto'
import { allObservers, logObserver, metricsObserver, startServer, tokenVerifier } from '@tidewire/server'
import { serve } from './serve.ts'

const SECRET = 'the-secret-of-the-benchmark-and-of-nothing-else'
const HIGH = 1_000_000_000

await serve(async () => {
  const { observer, metrics } = metricsObserver({ processMetrics: true })
  const server = await startServer({
    port: 0,
    verifier: tokenVerifier({ secret: SECRET }),
    observer: allObservers([logObserver().observer, observer]),
    metrics,
    limits: { maxConnectedUsers: HIGH, maxJoinsPerSecond: HIGH, maxEventsPerSecond: HIGH },
  })
  return { port: server.port, apiKey: token(), stop: () => server.stop() }
})

function token(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const content = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ role: 'anon', exp: Math.floor(Date.now() / 1000) + 86_400 })}`
  return `${content}.${createHmac('sha256', SECRET).update(content).digest('base64url')}`
}
