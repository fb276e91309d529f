/**
 * `@tidewire/server`: one node of Tidewire, listening. {@link startServer} is the way in.
 */
import { drain, drainPlan } from './io/drain.ts'
import { guardHost, type HostRule } from './io/http/host-guard.ts'
import { httpApi } from './io/http/http-api.ts'
import { listen } from './io/http/http-listener.ts'
import type { MetricsText } from './io/http/metrics-endpoint.ts'
import { keepAlive, pause } from './io/keep-alive.ts'
import { nodeRuntime } from './io/node-runtime.ts'
import { createWebSocketListener } from './io/websocket/websocket-listener.ts'
import { resolveOptions, SWEEP_INTERVAL_MS, type ServerOptions } from './options.ts'
import type { Observer, TokenVerifier } from './ports.ts'
import type { ServerPorts } from './ports/server.ts'
import { Server } from './server.ts'

export { defaultLimits, noLimits, type Limits } from './limits/limits.ts'
export { allObservers } from './all-observers.ts'
export { logObserver, type Log, type LogObserverOptions } from './io/observability/log-observer.ts'
export type { MetricsText } from './io/http/metrics-endpoint.ts'
export { metricsObserver, type MetricsObserver, type MetricsObserverOptions, type SlotSize } from './io/observability/metrics-observer.ts'
export { nodeRuntime } from './io/node-runtime.ts'
export { openTelemetry, type Tracing } from './io/observability/tracing.ts'
export { tokenVerifier, type TokenVerifierOptions } from './io/tokens/token-verifier.ts'
export { resolveOptions, type ServerOptions } from './options.ts'
export type * from './ports.ts'
export type { StoredPublish, TrustedPublish } from './publish.ts'
export type { ServerPorts } from './ports/server.ts'
export { Server } from './server.ts'

/** The options of {@link startServer}: where to listen, the server's ports, and its behaviour. */
export interface StartOptions extends ServerOptions, Omit<ServerPorts, 'runtime'> {
  /** Default `127.0.0.1`. */
  readonly host?: string
  /** 0 takes any free port. Default 4000. */
  readonly port?: number
  /** The text of `/metrics`; without it there is no such path. */
  readonly metrics?: MetricsText | null
  /** Verifies the tokens of requests for the metrics; without it they need none. */
  readonly metricsVerifier?: TokenVerifier | null
  /** Which `Host` headers are accepted. Default: all. A server on a developer's machine should name its own, against DNS rebinding. */
  readonly hostRule?: HostRule
  /** A sentence for `/healthcheck` when something outside this process is wrong. The status stays 200. */
  readonly trouble?: () => string | null
  /** Answers paths that the server does not know; `null`: 404. */
  readonly fallback?: (request: Request) => Response | null | Promise<Response | null>
}

/** A server that listens, until `stop`. */
export interface RunningServer {
  /** `http://host:port`, without a trailing slash. */
  readonly url: string
  readonly port: number
  readonly server: Server
  /**
   * Drains: fails its health check, stops accepting after `drainDelayMs`, closes the open sockets with 1012, one after the other
   * within `drainTimeoutMs`, and cuts those that do not close. Safe to call twice.
   */
  stop(): Promise<void>
}

/** After this time a node starts without the presence of the others, and its health check says that it is alone. */
const SYNCHRONIZE_WITHIN_MS = 3_000

/** Starts a node and listens. Rejects with a RealtimeError `bad-option` or `port-in-use`. */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const {
    host = '127.0.0.1',
    port = 4000,
    verifier,
    observer,
    authorizer,
    messageStore,
    changeFeed,
    relay,
    tracer,
    processes,
    admin,
    ...others
  } = options
  const { metrics = null, metricsVerifier = null, hostRule = () => true, trouble = () => null, fallback, ...rest } = others
  const resolved = resolveOptions(rest)
  const runtime = nodeRuntime()
  const server = new Server(resolved, {
    runtime,
    verifier,
    observer,
    authorizer: authorizer ?? null,
    messageStore: messageStore ?? null,
    changeFeed: changeFeed ?? null,
    relay: relay ?? null,
    tracer: tracer ?? null,
    processes: processes ?? null,
    admin: admin ?? null,
  })
  const decisions: Pick<Observer, 'decision'> = { decision: (decision) => server.observer.decision(decision) }
  const api = httpApi({
    verifier,
    observer: decisions,
    runtime,
    metrics,
    metricsVerifier,
    limits: resolved.limits,
    requiredClaims: resolved.requiredClaims,
    publish: (request) => server.publish(request),
    checkUpgrade: async (apiKey, headers) => {
      const admission = await server.checkUpgrade(apiKey, headers)
      return admission.ok ? null : admission
    },
    draining: () => server.isLeaving,
    feedProgress: () => changeFeed?.progress?.() ?? null,
    isCutOff: () => relay?.link.state === 'down',
    trouble,
    fallback,
  })
  const guarded = guardHost(hostRule, decisions, api, createWebSocketListener(server))
  await keepAlive(server.synchronized(SYNCHRONIZE_WITHIN_MS))
  const listener = await listen(
    { host, port, headersTimeoutMs: resolved.headersTimeoutMs, maxSockets: resolved.maxSockets },
    guarded.onRequest,
    guarded.webSockets,
  ).catch(async (error: unknown) => {
    // The relay would keep the process alive.
    await server.close()
    throw error
  })
  let sweeping = runtime.setTimer(sweep, SWEEP_INTERVAL_MS)
  function sweep(): void {
    server.sweep()
    sweeping = runtime.setTimer(sweep, SWEEP_INTERVAL_MS)
  }
  let stopped: Promise<void> | null = null
  const stop = async (): Promise<void> => {
    server.leave(drainPlan(server.connections.size, resolved.drainTimeoutMs).spreadMs)
    await pause(resolved.drainDelayMs)
    listener.stopAccepting()
    await drain(server, runtime, resolved.drainTimeoutMs)
    sweeping.cancel()
    await server.close()
    await listener.close(Math.min(1_000, resolved.drainTimeoutMs))
  }
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listener.port}`,
    port: listener.port,
    server,
    stop: () => (stopped ??= stop()),
  }
}
