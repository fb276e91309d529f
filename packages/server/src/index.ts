/**
 * `@tidewire/server`: one node of Tidewire, listening. {@link startServer} is the way in.
 */
import { listen } from './io/http-listener.ts'
import { nodeRuntime } from './io/node-runtime.ts'
import { createWebSocketListener } from './io/websocket-listener.ts'
import { resolveOptions, SWEEP_INTERVAL_MS, type ServerOptions } from './options.ts'
import type { Runtime } from './ports.ts'
import { Server, type ServerPorts } from './server.ts'

export { defaultLimits, noLimits, type Limits } from './limits/limits.ts'
export { tokenVerifier, type TokenVerifierOptions } from './io/token-verifier.ts'
export { resolveOptions, type ServerOptions } from './options.ts'
export type * from './ports.ts'
export { Server, type ServerPorts } from './server.ts'

export interface StartOptions extends ServerOptions, Omit<ServerPorts, 'runtime'> {
  /** Default `127.0.0.1`. */
  readonly host?: string
  /** 0 takes any free port. Default 4000. */
  readonly port?: number
}

export interface RunningServer {
  /** `http://host:port`, without a trailing slash. */
  readonly url: string
  readonly port: number
  readonly server: Server
  /** Drains: refuses new sockets, closes the open ones with 1012, then stops listening. Safe to call twice. */
  stop(): Promise<void>
}

/** Starts a node and listens. Rejects with a RealtimeError `bad-option` or `port-in-use`. */
export async function startServer(options: StartOptions): Promise<RunningServer> {
  const { host = '127.0.0.1', port = 4000, verifier, observer, authorizer, messageStore, changeFeed, ...rest } = options
  const resolved = resolveOptions(rest)
  const runtime = nodeRuntime()
  const server = new Server(resolved, {
    runtime,
    verifier,
    observer,
    authorizer: authorizer ?? null,
    messageStore: messageStore ?? null,
    changeFeed: changeFeed ?? null,
  })
  const listener = await listen(
    { host, port, headersTimeoutMs: resolved.headersTimeoutMs, maxSockets: resolved.maxSockets },
    (_request, response) => response.writeHead(404).end(),
    createWebSocketListener(server),
  )
  let sweeping = runtime.setTimer(sweep, SWEEP_INTERVAL_MS)
  function sweep(): void {
    server.sweep()
    sweeping = runtime.setTimer(sweep, SWEEP_INTERVAL_MS)
  }
  let stopped: Promise<void> | null = null
  const stop = async (): Promise<void> => {
    await drain(server, runtime, resolved.drainTimeoutMs)
    sweeping.cancel()
    await listener.close(Math.min(1_000, resolved.drainTimeoutMs))
  }
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listener.port}`,
    port: listener.port,
    server,
    stop: () => (stopped ??= stop()),
  }
}

/** How long one batch of sockets gets before the next is told. */
const DRAIN_STEP_MS = 20

async function drain(server: Server, runtime: Runtime, timeoutMs: number): Promise<void> {
  const deadline = runtime.uptime() + timeoutMs
  while (server.connections.drain() > 0 && runtime.uptime() < deadline)
    await new Promise<void>((resolve) => void runtime.setTimer(resolve, DRAIN_STEP_MS))
}
