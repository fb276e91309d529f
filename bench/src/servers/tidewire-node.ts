/** This repository's server, as it is built, with the checks, counts and logs of `tidewire start` in place: limits are high, not off. */
import {
  allObservers,
  logObserver,
  metricsObserver,
  startServer,
  tokenVerifier,
  type AdminPorts,
  type Observer,
  type RunningServer,
  type StartOptions,
} from '@tidewire/server'
import { signToken } from '../token.ts'

export const SECRET = 'the-secret-of-the-benchmark-and-of-nothing-else'
const HIGH = 1_000_000_000

export function startNode(
  admin: AdminPorts | null,
  observers: readonly Observer[] = [],
  ports: Pick<StartOptions, 'authorizer' | 'changeFeed' | 'relay'> = {},
): Promise<RunningServer> {
  const { observer, metrics } = metricsObserver({ processMetrics: true })
  return startServer({
    ...ports,
    port: 0,
    verifier: tokenVerifier({ secret: SECRET }),
    observer: allObservers([logObserver().observer, observer, ...observers]),
    metrics,
    admin,
    limits: { maxConnectedUsers: HIGH, maxJoinsPerSecond: HIGH, maxEventsPerSecond: HIGH },
  })
}

export function tokenFor(role: string, secret: string = SECRET): string {
  return signToken({ role }, secret)
}
