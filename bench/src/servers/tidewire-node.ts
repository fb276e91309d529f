/** This repository's server, as it is built, with the checks, counts and logs of `tidewire start` in place: limits are high, not off. */
import { createHmac } from 'node:crypto'
import {
  allObservers,
  logObserver,
  metricsObserver,
  startServer,
  tokenVerifier,
  type AdminPorts,
  type Observer,
  type RunningServer,
} from '@tidewire/server'

const SECRET = 'the-secret-of-the-benchmark-and-of-nothing-else'
const HIGH = 1_000_000_000

/** An observer that wants to know nothing. */
export const deaf: Observer = {
  decision: () => {},
  connected: () => {},
  disconnected: () => {},
  joined: () => {},
  left: () => {},
  broadcast: () => {},
  received: () => {},
}

export function startNode(admin: AdminPorts | null, observers: readonly Observer[] = []): Promise<RunningServer> {
  const { observer, metrics } = metricsObserver({ processMetrics: true })
  return startServer({
    port: 0,
    verifier: tokenVerifier({ secret: SECRET }),
    observer: allObservers([logObserver().observer, observer, ...observers]),
    metrics,
    admin,
    limits: { maxConnectedUsers: HIGH, maxJoinsPerSecond: HIGH, maxEventsPerSecond: HIGH },
  })
}

export function tokenFor(role: string, secret: string = SECRET): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const content = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ role, exp: Math.floor(Date.now() / 1000) + 86_400 })}`
  return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`
}
