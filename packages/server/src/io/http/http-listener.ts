import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { RealtimeError } from '@tidewire/protocol'
import type { WebSocketListener } from '../websocket/websocket-listener.ts'

export interface HttpListenerOptions {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  readonly headersTimeoutMs: number
  readonly maxSockets: number
}

export interface HttpListener {
  readonly host: string
  readonly port: number
  /** Stops accepting; resolves when every request and socket is done, or `afterMs` passed and they were cut. */
  close(afterMs: number): Promise<void>
}

/** A handler of fetch requests as one of Node's. */
export function requestListener(
  handle: (request: Request) => Response | Promise<Response>,
): (request: IncomingMessage, response: ServerResponse) => void {
  const listener = getRequestListener(handle, { overrideGlobalObjects: false })
  return (request, response) => void listener(request, response)
}

/** Heads over this size are refused with 431. */
const MAX_HEADER_BYTES = 16 * 1024

/** Listens for requests and upgrades. A head that does not come in time, or is too large, costs only its own socket. */
export async function listen(
  options: HttpListenerOptions,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
  webSockets: WebSocketListener,
): Promise<HttpListener> {
  const http = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: options.headersTimeoutMs * 3,
      connectionsCheckingInterval: Math.max(100, Math.min(1_000, options.headersTimeoutMs / 2)),
      keepAliveTimeout: 5_000,
      noDelay: true,
    },
    onRequest,
  )
  http.maxConnections = options.maxSockets
  const open = new Set<Socket>()
  http.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  http.on('upgrade', (request, socket, head) => webSockets.upgrade(request, socket, head))
  const port = await bind(http, options)
  return {
    host: options.host,
    port,
    close: (afterMs) => closeAll(http, open, afterMs),
  }
}

function bind(http: HttpServer, { host, port }: HttpListenerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    http.once('error', (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === 'EADDRINUSE'
      const message = taken
        ? `Port ${port} of ${host} is taken: stop the program that listens there, or choose another port`
        : `Cannot listen on ${host}:${port}: choose a host that is an address of this machine, and a port that you may use`
      reject(new RealtimeError(taken ? 'port-in-use' : 'bad-option', message, { cause }))
    })
    http.listen({ host, port, backlog: 1024 }, () => resolve((http.address() as AddressInfo).port))
  })
}

function closeAll(http: HttpServer, open: ReadonlySet<Socket>, afterMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => {
      for (const socket of open) socket.destroy()
    }, afterMs)
    http.close(() => {
      clearTimeout(cut)
      resolve()
    })
    http.closeIdleConnections()
  })
}
