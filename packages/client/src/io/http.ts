import { RealtimeError } from '@tidewire/protocol'
import { addressOf } from '../connection/endpoint.ts'
import type { HttpAnswer, HttpRequest } from '../runtime.ts'

/** Asks, and reads the answer whatever its status. Rejects with `timeout` or `http-failed`; leaves no timer behind. */
export async function http(
  { url, headers = {}, body, timeoutMs }: HttpRequest,
  fetch: typeof globalThis.fetch | undefined,
): Promise<HttpAnswer> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), timeoutMs)
  const request: RequestInit = body === undefined ? { cache: 'no-store' } : { method: 'POST', body: body as BodyInit }
  try {
    const response = await (fetch ?? globalThis.fetch)(url, { ...request, headers, signal: abort.signal })
    const { ok, status, statusText } = response
    // Mocks of fetch have what realtime-js asks for, and no more.
    if (!ok) return { status, statusText, body: await (response.text?.() ?? response.json().then(JSON.stringify)) }
    void response.body?.cancel()
    return { status, statusText, body: '' }
  } catch (cause) {
    const { name, message } = Object(cause) as Partial<Error>
    if (abort.signal.aborted || name === 'AbortError')
      throw new RealtimeError('timeout', `No answer from ${addressOf(url)} within ${timeoutMs} ms.`, { cause, retryable: true })
    // The message of a custom fetch says more than ours; the platform's is the same for every fault.
    const text = fetch === undefined ? `${addressOf(url)} could not be reached.` : message!
    throw new RealtimeError('http-failed', text, { cause, retryable: true })
  } finally {
    clearTimeout(timer)
  }
}
