import { Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import type { TokenVerifier } from '../ports.ts'
import { BroadcastEndpoint, type BroadcastEndpointDeps } from './broadcast-endpoint.ts'
import { cors } from './cors.ts'
import { healthEndpoint, pingEndpoint } from './health-endpoint.ts'
import { metricsEndpoint, type MetricsText } from './metrics-endpoint.ts'

export interface HttpApiDeps extends BroadcastEndpointDeps {
  /** `null`: there is no `/metrics`. */
  readonly metrics: MetricsText | null
  /** Who may read the metrics; `null`: everybody. */
  readonly metricsVerifier: TokenVerifier | null
  /** Whether the server is about to stop. */
  readonly draining: () => boolean
}

/** The server's own paths, and those that a Supabase URL leads to. */
const BASES = ['', '/realtime/v1']

/** The HTTP side of a server: broadcasts, health, metrics (rules H2–H6). */
export function httpApi(deps: HttpApiDeps): Hono {
  const app = new Hono()
  const broadcasts = new BroadcastEndpoint(deps)
  app.use(methodNotAllowed({ app }))
  for (const base of BASES) {
    app.use(`${base}/api/*`, cors(), broadcasts.rateHeaders)
    app.post(`${base}/api/broadcast`, broadcasts.batch)
    app.post(`${base}/api/broadcast/:topic/events/:event`, broadcasts.single)
    app.get(`${base}/api/ping`, pingEndpoint)
    app.get(`${base}/healthcheck`, healthEndpoint(deps.draining))
    if (deps.metrics !== null) app.get(`${base}/metrics`, metricsEndpoint(deps.metrics, deps.metricsVerifier, deps.runtime))
  }
  app.notFound((c) => c.text('Not Found', 404))
  app.onError((error, c) => {
    deps.observer.decision({ kind: 'http-refused', code: 'internal-error', detail: error.message })
    return c.json({ message: 'Internal Server Error' }, 500)
  })
  return app
}
