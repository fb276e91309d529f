import { bytesOf, isJsonObject, jsonValue, RealtimeError } from '@tidewire/protocol'
import type { ResolvedOptions } from './options.ts'
import type { RealtimeBroadcastPersist } from './listen/payloads.ts'
import type { HttpAnswer, Runtime } from './runtime.ts'

/** Where a message goes. */
export interface Room {
  readonly topic: string
  readonly subTopic: string
  readonly private: boolean
}

/** What posting needs of a client. */
export interface HttpPort {
  readonly runtime: Runtime
  readonly options: ResolvedOptions
  readonly token: string | null
  readonly given: { readonly fetch?: typeof globalThis.fetch }
  warn(text: string): void
}

/** What `send` does without a socket. Rejects with a RealtimeError when no answer came. */
export async function sendOverHttp(
  { topic, subTopic, private: isPrivate }: Room,
  port: HttpPort,
  { event, payload }: { readonly event: string; readonly payload?: unknown },
  timeoutMs: number | undefined,
): Promise<'ok' | 'error'> {
  port.warn(`${topic} is not joined, so send() went over HTTP. Subscribe first, or say httpSend().`)
  const { status } = await post(port, '', toJson({ messages: [{ topic: subTopic, event, payload, private: isPrivate }] }), timeoutMs)
  return status >= 200 && status < 300 ? 'ok' : 'error'
}

export async function httpSend(
  { subTopic, private: isPrivate }: Room,
  port: HttpPort,
  event: string,
  payload: unknown,
  { timeout, persist }: { readonly timeout?: number; readonly persist?: RealtimeBroadcastPersist },
): Promise<{ success: true }> {
  if (payload === undefined || payload === null) throw new RealtimeError('bad-argument', 'Payload is required for httpSend()')
  // A URL has no way to say these: they are steps in its path, however they are escaped (rule H3).
  const step = [subTopic, event].find((name) => /^\.\.?$/.test(name))
  if (step !== undefined) throw new RealtimeError('bad-argument', `The path of a URL cannot say the name "${step}": use send()`)
  const query = [
    ...(isPrivate ? ['private=true'] : []),
    ...(persist === true ? ['persist=true'] : typeof persist === 'object' ? [`persist[ttl]=${persist.ttl ?? ''}`] : []),
  ].join('&')
  const path = `/${encodeURIComponent(subTopic)}/events/${encodeURIComponent(event)}${query && `?${query}`}`
  const { status, statusText, body } = await post(port, path, bytesOf(payload) ?? toJson(payload), timeout)
  if (status === 202) return { success: true }
  const told = status === 404 ? 'httpSend() requires Realtime server v2.97.0 or newer; the endpoint returned 404.' : messageOf(body)
  throw new RealtimeError('http-failed', told || statusText || `HTTP ${status}`, {
    cause: { status, body },
    retryable: status === 429 || status >= 500,
  })
}

function post(
  { runtime, options, token, given }: HttpPort,
  path: string,
  body: string | Uint8Array,
  timeoutMs: number = options.timeoutMs,
): Promise<HttpAnswer> {
  const { apikey, httpUrl } = options
  const headers = {
    apikey,
    'Content-Type': typeof body === 'string' ? 'application/json' : 'application/octet-stream',
    ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
  }
  return runtime.http({ url: httpUrl + path, headers, body, timeoutMs }, given.fetch)
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
  const { error, message } = isJsonObject(answer) ? answer : {}
  return typeof error === 'string' ? error : typeof message === 'string' ? message : ''
}
