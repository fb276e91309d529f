import type { IncomingMessage, ServerResponse } from 'node:http'
import { Hono, type MiddlewareHandler } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import type { TokenVerifier } from '../../ports.ts'
import { BroadcastEndpoint, type BroadcastEndpointDeps } from './broadcast-endpoint.ts'
import { cors } from './cors.ts'
import { healthEndpoint, pingEndpoint, type HealthDeps } from './health-endpoint.ts'
import { requestListener } from './http-listener.ts'
import { metricsEndpoint, type MetricsText } from './metrics-endpoint.ts'
import { socketPath, visibleNotFound, type UpgradeCheck } from './socket-path.ts'
import { SOCKET_PATHS } from '../websocket/websocket-listener.ts'

export interface HttpApiDeps extends BroadcastEndpointDeps, HealthDeps {
  /** `null`: there is no `/metrics`. */
  readonly metrics: MetricsText | null
  /** Verifies the tokens of requests for the metrics; `null`: they need none. */
  readonly metricsVerifier: TokenVerifier | null
  readonly checkUpgrade: UpgradeCheck
  /** Answers other paths; `null`: 404. */
  readonly fallback?: ((request: Request) => Response | null | Promise<Response | null>) | undefined
}

/** Paths begin with nothing, or as in the URL of a Supabase project. */
const BASES = ['', '/realtime/v1']

/** The HTTP side of a server: broadcasts, health, metrics (rules H2–H6). */
export function httpApi(deps: HttpApiDeps): (request: IncomingMessage, response: ServerResponse) => void {
  const broadcasts = new BroadcastEndpoint(deps)
  const app = otherPaths(deps, broadcasts)
  const others = requestListener((request) => app.fetch(request))
  return (request, response) => {
    if (!broadcasts.handle(request, response)) others(request, response)
  }
}

function otherPaths(deps: HttpApiDeps, broadcasts: BroadcastEndpoint): Hono {
  const app = new Hono()
  const rateHeaders: MiddlewareHandler = async (c, next) => {
    await next()
    for (const [name, value] of Object.entries(broadcasts.rateHeaders())) c.header(name, value)
  }
  app.use(requestId(), methodNotAllowed({ app }), jsonCharset, visibleNotFound)
  for (const path of SOCKET_PATHS) app.all(path, socketPath(deps.checkUpgrade))
  for (const base of BASES) {
    app.use(`${base}/api/*`, cors(), rateHeaders)
    // `BroadcastEndpoint` has answered POST requests before. These routes make other methods a 405.
    app.post(`${base}/api/broadcast`, (c) => c.notFound())
    app.post(`${base}/api/broadcast/:topic/events/:event`, (c) => c.notFound())
    app.get(`${base}/api/ping`, pingEndpoint)
    app.get(`${base}/healthcheck`, healthEndpoint(deps))
    if (deps.metrics !== null) app.get(`${base}/metrics`, metricsEndpoint(deps.metrics, deps.metricsVerifier, deps.runtime))
  }
  app.notFound(async (c) => (await deps.fallback?.(c.req.raw)) ?? c.text('Not Found', 404))
  app.onError((error, c) => {
    deps.observer.decision({ kind: 'http-refused', code: 'internal-error', detail: error.message })
    return c.json({ message: 'Internal Server Error' }, 500)
  })
  return app
}

/** Adds the charset to JSON answers, as the reference does. */
const jsonCharset: MiddlewareHandler = async (c, next) => {
  await next()
  if (c.res.headers.get('content-type') === 'application/json') c.res.headers.set('content-type', 'application/json; charset=utf-8')
}
