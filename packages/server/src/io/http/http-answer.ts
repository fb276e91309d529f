import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

export interface HttpAnswer {
  readonly status: number
  /** Sent as JSON, or as text; `null`: nothing. */
  readonly body: object | string | null
  readonly headers?: Readonly<Record<string, string>>
}

/** How long the rest of a body is read and dropped, so that the sender can read the answer before the connection ends. */
const LINGER_MS = 1_000

/** Writes an answer. Before the end of the body, it also closes the connection: the rest is not waited for. */
export function writeAnswer(request: IncomingMessage, response: ServerResponse, { status, body, headers }: HttpAnswer): void {
  if (response.destroyed) return
  const text = body === null ? '' : typeof body === 'string' ? body : JSON.stringify(body)
  const isEarly = !request.complete
  response.writeHead(status, {
    ...(body === null
      ? {}
      : { 'content-type': typeof body === 'string' ? 'text/plain; charset=UTF-8' : 'application/json; charset=utf-8' }),
    'content-length': Buffer.byteLength(text),
    'x-request-id': requestId(request),
    ...headers,
    ...(isEarly ? { connection: 'close' } : {}),
  })
  response.end(text)
  if (!isEarly) return
  const cut = setTimeout(() => request.destroy(), LINGER_MS)
  request.once('close', () => clearTimeout(cut))
  request.resume()
}

/** The request id of the caller, where it is plain text; else a new one. */
function requestId({ headers }: IncomingMessage): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && given.length <= 255 && /^[\w\-=]+$/.test(given) ? given : randomUUID()
}
