import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { parseVersion } from '@tidewire/protocol'
import { WebSocketServer, type WebSocket } from 'ws'
import type { Connection } from '../../connection/connection.ts'
import type { Transport } from '../../connection/transport.ts'
import type { Server } from '../../server.ts'
import type { UnfinishedMessages } from '../../limits/unfinished-messages.ts'
import { MessageProgress } from './message-progress.ts'
import { takenBytesOf } from './socket-progress.ts'
import { SocketWriter } from './socket-writer.ts'
import { UnfinishedChunks } from './unfinished-chunks.ts'

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

  const userAgents = new UserAgents()

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Before the handshake there is no other listener, and a reset must not end the process.
    const ignore = (): void => {}
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
      const details = { ...admission, version, headers, foreignOrigin: isForeign(request), userAgent: userAgents.of(request) }
      const connection = server.accept(details, transportOf(webSocket, socket))
      attach(webSocket, socket, connection)
      followUnfinished(socket, connection, server.unfinished)
    })
  }

  return {
    upgrade: (request, socket, head) => {
      upgrade(request, socket, head).catch(() => socket.destroy())
    },
  }
}

function attach(webSocket: WebSocket, socket: Duplex, connection: Connection): void {
  webSocket.on('message', (data: Buffer, binary: boolean) => connection.receive(data, binary))
  webSocket.on('close', (code: number) => connection.transportClosed(code))
  // `ws` closes with the fitting code by itself; without a listener the error would end the process.
  webSocket.on('error', () => {})
  socket.on('error', () => {})
}

/** Counts the bytes of a message while it comes: `ws` keeps it until it is whole, and reports nothing before. */
function followUnfinished(socket: Duplex, connection: Connection, unfinished: UnfinishedMessages): void {
  const progress = new MessageProgress()
  const chunks = new UnfinishedChunks()
  const messages = unfinished.of((fault) => {
    connection.refuseUnfinished(fault)
    // `ws` may still be given the chunk that this comes from; after that it reads nothing more of a socket that is destroyed.
    process.nextTick(() => free())
  })
  const free = (): void => {
    if (socket.destroyed && socket.readableLength === 0) chunks.free()
  }
  socket.prependListener('data', (chunk: Buffer) => {
    progress.read(chunk)
    if (progress.unfinishedBytes <= chunk.length) chunks.clear()
    else chunks.add(chunk)
    messages.received(progress.unfinishedBytes, chunk.length)
    // Small messages end with the next chunk.
    if (progress.unfinishedBytes > chunk.length) connection.awaitRoom()
  })
  socket.once('close', () => {
    messages.closed()
    free()
  })
}

/** Frames that are ready go to the socket itself; only close frames are left to `ws`. */
function transportOf(webSocket: WebSocket, socket: Duplex): Transport {
  const writer = new SocketWriter(socket)
  return {
    write: (frames) => writer.write(frames),
    // Bytes that this process holds back do not count against the receiver.
    backlogBytes: () => socket.writableLength - writer.heldBytes,
    ...takenBytesOf(socket),
    pause: () => webSocket.pause(),
    resume: () => webSocket.resume(),
    close: (code, reason) => webSocket.close(code, reason),
    terminate: () => webSocket.terminate(),
    address: () => (socket as Socket).remoteAddress ?? null,
  }
}

/** Keeps each `User-Agent` once: many clients send the same. */
class UserAgents {
  readonly #texts = new Map<string, string>()

  of({ headers }: IncomingMessage): string | null {
    const text = headers['user-agent']?.slice(0, MAX_USER_AGENT)
    if (text === undefined || text === '') return null
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    if (this.#texts.size >= MAX_USER_AGENTS) this.#texts.clear()
    this.#texts.set(text, text)
    return text
  }
}

const MAX_USER_AGENT = 200
const MAX_USER_AGENTS = 1_000

/** Whether the request is of a page of another origin. Programs that are no pages send no origin. */
function isForeign({ headers: { origin, host } }: IncomingMessage): boolean {
  return origin !== undefined && !(URL.canParse(origin) && new URL(origin).host === host?.toLowerCase())
}

/** The `x-*` headers, which policies may read. */
function extensionHeaders(request: IncomingMessage): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {}
  let names = 0
  for (const [name, value] of Object.entries(request.headers))
    if (name.startsWith('x-') && value !== undefined && names++ < MAX_HEADER_NAMES) headers[name] = String(value)
  return headers
}

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
