import { RealtimeError } from '@tidewire/protocol'
import type { HttpAnswer, HttpRequest } from '../runtime.ts'

/** Posts, and reads the answer whatever its status. Rejects with `timeout` or `http-failed`; leaves no timer behind. */
export async function post(
  { url, headers, body, timeoutMs }: HttpRequest,
  fetch: typeof globalThis.fetch = globalThis.fetch,
): Promise<HttpAnswer> {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(), timeoutMs)
  try {
    const response = await fetch(url, { method: 'POST', headers, body: body as BodyInit, signal: abort.signal })
    return { status: response.status, statusText: response.statusText, body: await response.text() }
  } catch (cause) {
    if (abort.signal.aborted)
      throw new RealtimeError('timeout', `No answer from ${new URL(url).host} within ${timeoutMs} ms.`, { cause, retryable: true })
    throw new RealtimeError('http-failed', `${new URL(url).host} could not be reached.`, { cause, retryable: true })
  } finally {
    clearTimeout(timer)
  }
}
