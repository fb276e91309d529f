import { bytesOf, jsonValue, RealtimeError } from '@tidewire/protocol'
import { withQuery } from '../connection/endpoint.ts'
import type { ResolvedOptions } from '../options.ts'
import type { RealtimeBroadcastPersist } from '../listen/payloads.ts'
import type { HttpAnswer, Runtime } from '../runtime.ts'

/** The topic that a message is posted to. */
export interface HttpTarget {
  readonly topic: string
  readonly subTopic: string
  readonly private: boolean
}

/** The client, as posting needs it. */
export interface HttpPort {
  readonly runtime: Runtime
  readonly options: ResolvedOptions
  readonly token: string | null
  readonly given: { readonly fetch?: typeof globalThis.fetch }
  warn(text: string): void
}

/** `send` without a socket. Rejects with a RealtimeError when no answer came. */
export async function sendOverHttp(
  { topic, subTopic, private: isPrivate }: HttpTarget,
  port: HttpPort,
  { event, payload }: { readonly event: string; readonly payload?: unknown },
  timeoutMs: number | undefined,
): Promise<'ok' | 'error'> {
  port.warn(`${topic} is not joined, so send() went over HTTP. Subscribe first, or say httpSend().`)
  const { status } = await post(port, '', toJson({ messages: [{ topic: subTopic, event, payload, private: isPrivate }] }), timeoutMs)
  return status >= 200 && status < 300 ? 'ok' : 'error'
}

export async function httpSend(
  { subTopic, private: isPrivate }: HttpTarget,
  port: HttpPort,
  event: string,
  payload: unknown,
  { timeout, persist }: { readonly timeout?: number; readonly persist?: RealtimeBroadcastPersist },
): Promise<{ success: true }> {
  if (payload === undefined || payload === null) throw new RealtimeError('bad-argument', 'Payload is required for httpSend()')
  // A URL has no way to say these: they are steps in its path, however they are escaped (rule H3).
  const step = [subTopic, event].find((name) => /^\.\.?$/.test(name))
  if (step !== undefined) throw new RealtimeError('bad-argument', `No URL can name "${step}": use send()`)
  const ttl = Object(persist).ttl as unknown
  const query = [isPrivate && 'private=true', persist && (ttl === undefined ? 'persist=true' : `persist%5Bttl%5D=${ttl as number}`)]
  const path = `/${encodeURIComponent(subTopic)}/events/${encodeURIComponent(event)}`
  const { status, statusText, body } = await post(
    port,
    path,
    bytesOf(payload) === undefined ? toJson(payload) : (payload as ArrayBuffer),
    timeout,
    query.filter(Boolean).join('&'),
  )
  if (status === 202) return { success: true }
  const said = status === 404 ? 'httpSend() requires Realtime server v2.97.0 or newer' : messageOf(body)
  throw new RealtimeError('http-failed', said || statusText || `HTTP ${status}`, {
    cause: { status, body },
    retryable: status === 429 || status >= 500,
  })
}

function post(
  { runtime, options, token, given }: HttpPort,
  path: string,
  body: string | ArrayBufferLike | ArrayBufferView,
  timeoutMs: number = options.timeoutMs,
  query: string = '',
): Promise<HttpAnswer> {
  const { apikey, httpUrl } = options
  const headers = {
    apikey,
    'Content-Type': typeof body === 'string' ? 'application/json' : 'application/octet-stream',
    ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
  }
  // The endpoint may have a query of its own.
  const url = withQuery(httpUrl.replace(/(?=\?)|$/, path), query)
  return runtime.http({ url, headers, body, timeoutMs }, given.fetch)
}

/** JSON text. Throws a RealtimeError for cycles, BigInt and the like. */
function toJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (cause) {
    throw new RealtimeError('not-serializable', 'The payload cannot be written as JSON.', { cause })
  }
}

function messageOf(body: string): string {
  const answer = jsonValue(body)
  const { error, message } = Object(answer) as { readonly error?: unknown; readonly message?: unknown }
  return [error, message].find((text) => typeof text === 'string') ?? ''
}
