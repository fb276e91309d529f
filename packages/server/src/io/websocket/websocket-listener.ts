import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { parseVersion } from '@tidewire/protocol'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Connection } from '../../connection/connection.ts'
import type { Server } from '../../server.ts'
import type { UnfinishedMessages } from '../../limits/unfinished-messages.ts'
import { SocketTransport } from './socket-transport.ts'
import { UnfinishedInput } from './unfinished-input.ts'

/** Paths of sockets: the server's own, and that of the URL of a Supabase project. */
export const SOCKET_PATHS: readonly string[] = ['/socket/websocket', '/realtime/v1/websocket']

const MAX_HEADER_NAMES = 64

/** Frames of one message; each costs some hundred bytes besides its own. */
const MAX_FRAGMENTS = 4_096

export interface WebSocketListener {
  /** Takes an HTTP upgrade to its end: a connection, or a refusal with a status and a text (rule H1). */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
}

/** Accepts WebSockets for a server. `ws` does the handshake and reads frames; topics write ready frames. */
export function createWebSocketListener(server: Server): WebSocketListener {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: server.options.limits.maxFrameBytes,
    maxFragments: MAX_FRAGMENTS,
    perMessageDeflate: false,
    // The decoders check UTF-8 and answer the sender; `ws` would close the socket.
    skipUTF8Validation: true,
  })

  const [userAgents, apiKeys] = [new SharedTexts(), new SharedTexts()]

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Before the handshake there is no other listener, and a reset must not end the process.
    socket.on('error', ignore)
    const url = new URL(request.url ?? '/', 'http://localhost')
    if (!SOCKET_PATHS.includes(url.pathname)) return refuseUpgrade(socket, 404, 'Not Found')
    const version = parseVersion(url.searchParams.get('vsn'))
    if (version === null) return refuseUpgrade(socket, 403, null)
    const headers = extensionHeaders(request)
    const admission = await server.admitConnection(headers['x-api-key'] ?? url.searchParams.get('apikey'), headers)
    if (socket.destroyed) return
    if (!admission.ok) return refuseUpgrade(socket, admission.status, admission.text)
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      socket.off('error', ignore)
      const userAgent = userAgents.shared(request.headers['user-agent']?.slice(0, MAX_USER_AGENT) ?? '')
      const details = {
        ...{ ...admission, token: apiKeys.shared(admission.token) },
        ...{ version, headers, foreignOrigin: isForeign(request), userAgent: userAgent === '' ? null : userAgent },
      }
      const connection = server.accept(details, new SocketTransport(webSocket, socket))
      attach(webSocket, socket, connection, server.unfinished)
    })
  }

  return {
    upgrade: (request, socket, head) => {
      upgrade(request, socket, head).catch(() => socket.destroy())
    },
  }
}

function attach(webSocket: WebSocket, socket: Duplex, connection: Connection, unfinished: UnfinishedMessages): void {
  const input = new UnfinishedInput(socket, connection, unfinished)
  socket.prependListener('data', (chunk: Buffer) => input.received(chunk))
  webSocket.on('message', (data: Buffer, binary: boolean) => connection.receive(data, binary))
  webSocket.on('close', (code: number) => {
    input.closed()
    connection.transportClosed(code)
  })
  // `ws` closes with the fitting code by itself; without a listener the error would end the process.
  webSocket.on('error', ignore)
  socket.on('error', ignore)
}

/** Keeps each text once: many clients send the same. */
class SharedTexts {
  readonly #known = new Map<string, string>()

  shared(text: string): string {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    if (this.#known.size >= MAX_SHARED_TEXTS) this.#known.clear()
    this.#known.set(text, text)
    return text
  }
}

const MAX_USER_AGENT = 200
const MAX_SHARED_TEXTS = 1_000

function ignore(): void {}

/** Whether the request is of a page of another origin. Programs that are no pages send no origin. */
function isForeign({ headers: { origin, host } }: IncomingMessage): boolean {
  return origin !== undefined && !(URL.canParse(origin) && new URL(origin).host === host?.toLowerCase())
}

/** The `x-*` headers, which policies may read. */
function extensionHeaders(request: IncomingMessage): Readonly<Record<string, string>> {
  const headers = Object.entries(request.headers).filter(([name, value]) => name.startsWith('x-') && value !== undefined)
  if (headers.length === 0) return NO_HEADERS
  return Object.fromEntries(headers.slice(0, MAX_HEADER_NAMES).map(([name, value]) => [name, String(value)]))
}

const NO_HEADERS: Readonly<Record<string, string>> = {}

const STATUS_TEXT: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** Answers an upgrade with a status, and the text as JSON. */
export function refuseUpgrade(socket: Duplex, status: number, text: string | null): void {
  const body = text === null ? '' : JSON.stringify({ error: text })
  const type = text === null ? '' : 'Content-Type: application/json; charset=utf-8\r\n'
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_TEXT[status] ?? 'Error'}\r\n${type}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
