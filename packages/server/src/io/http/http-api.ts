import { Hono, type MiddlewareHandler } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import type { TokenVerifier } from '../../ports.ts'
import { BroadcastEndpoint, type BroadcastEndpointDeps } from './broadcast-endpoint.ts'
import { cors } from './cors.ts'
import { healthEndpoint, pingEndpoint } from './health-endpoint.ts'
import { metricsEndpoint, type MetricsText } from './metrics-endpoint.ts'
import { SOCKET_PATHS } from '../websocket/websocket-listener.ts'

export interface HttpApiDeps extends BroadcastEndpointDeps {
  /** `null`: there is no `/metrics`. */
  readonly metrics: MetricsText | null
  /** Who may read the metrics; `null`: everybody. */
  readonly metricsVerifier: TokenVerifier | null
  /** Whether the server is about to stop. */
  readonly draining: () => boolean
  /** A sentence when something is wrong that the health check should name. */
  readonly trouble?: () => string | null
}

/** The server's own paths, and those that a Supabase URL leads to. */
const BASES = ['', '/realtime/v1']

/** The HTTP side of a server: broadcasts, health, metrics (rules H2–H6). */
export function httpApi(deps: HttpApiDeps): Hono {
  const app = new Hono()
  const broadcasts = new BroadcastEndpoint(deps)
  app.use(requestId(), methodNotAllowed({ app }), jsonCharset)
  for (const path of SOCKET_PATHS) app.all(path, (c) => c.text('This path takes WebSockets: the request must ask for an upgrade', 400))
  for (const base of BASES) {
    app.use(`${base}/api/*`, cors(), broadcasts.rateHeaders)
    app.post(`${base}/api/broadcast`, broadcasts.batch)
    app.post(`${base}/api/broadcast/:topic/events/:event`, broadcasts.single)
    app.get(`${base}/api/ping`, pingEndpoint)
    app.get(`${base}/healthcheck`, healthEndpoint(deps.draining, deps.trouble ?? (() => null)))
    if (deps.metrics !== null) app.get(`${base}/metrics`, metricsEndpoint(deps.metrics, deps.metricsVerifier, deps.runtime))
  }
  app.notFound((c) => c.text('Not Found', 404))
  app.onError((error, c) => {
    deps.observer.decision({ kind: 'http-refused', code: 'internal-error', detail: error.message })
    return c.json({ message: 'Internal Server Error' }, 500)
  })
  return app
}

/** Says the charset of JSON, as the reference does. */
const jsonCharset: MiddlewareHandler = async (c, next) => {
  await next()
  if (c.res.headers.get('content-type') === 'application/json') c.res.headers.set('content-type', 'application/json; charset=utf-8')
}
