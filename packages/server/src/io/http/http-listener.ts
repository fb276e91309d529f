import { createServer, type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
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
  /** New connections are refused, and answered requests end theirs. Safe to call twice. */
  stopAccepting(): void
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
  /** The last answer of each connection. A request that offered HTTP/2 is parsed again only after it, so that answers keep their order. */
  const answers = new WeakMap<Duplex, ServerResponse>()
  let closed: Promise<void> | null = null
  const http = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: options.headersTimeoutMs * 3,
      connectionsCheckingInterval: Math.max(100, Math.min(1_000, options.headersTimeoutMs / 2)),
      keepAliveTimeout: 5_000,
      noDelay: true,
    },
    (request, response) => {
      answers.set(request.socket, response)
      if (closed !== null) response.setHeader('connection', 'close')
      onRequest(request, response)
    },
  )
  http.maxConnections = options.maxSockets
  const open = new Set<Socket>()
  http.on('connection', (socket: Socket) => {
    if (open.has(socket)) return
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  http.on('upgrade', (request, socket, head) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket') return webSockets.upgrade(request, socket, head)
    // There is no other listener by now, and a reset must not end the process.
    const ignore = (): void => {}
    socket.on('error', ignore)
    const again = (): void => {
      if (socket.destroyed) return
      withoutOffer(http, request, socket, head)
      socket.off('error', ignore)
    }
    const before = answers.get(socket)
    if (before === undefined || before.closed) again()
    else before.once('close', again)
  })
  const stopAccepting = (): Promise<void> => (closed ??= closeListening(http))
  const port = await bind(http, options)
  return {
    host: options.host,
    port,
    stopAccepting: () => void stopAccepting(),
    close: (afterMs) => closeAll(stopAccepting(), open, afterMs),
  }
}

/**
 * Some clients offer HTTP/2 with every first request (rule H8). Node then gives the connection up, so it gets the request again,
 * without the offer.
 */
function withoutOffer(
  http: HttpServer,
  { method, url, httpVersion, rawHeaders, headers }: IncomingMessage,
  socket: Duplex,
  rest: Buffer,
): void {
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (!/^(connection|upgrade|http2-settings)$/i.test(name)) lines.push(`${name}: ${rawHeaders[at + 1]}`)
  }
  if (/\bclose\b/i.test(headers.connection ?? '')) lines.push('Connection: close')
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), rest]))
  // The time-out between two requests must not end this one.
  ;(socket as Socket).setTimeout(0)
  http.emit('connection', socket)
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

/** Resolves when every connection is gone. */
function closeListening(http: HttpServer): Promise<void> {
  return new Promise((resolve) => {
    http.close(() => resolve())
    http.closeIdleConnections()
  })
}

async function closeAll(closed: Promise<void>, open: ReadonlySet<Socket>, afterMs: number): Promise<void> {
  const cut = setTimeout(() => {
    for (const socket of open) socket.destroy()
  }, afterMs)
  await closed
  clearTimeout(cut)
}
