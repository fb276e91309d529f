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
      throw new RealtimeError('timeout', `No answer from ${hostOf(url)} within ${timeoutMs} ms.`, { cause, retryable: true })
    throw new RealtimeError('http-failed', `${hostOf(url)} could not be reached.`, { cause, retryable: true })
  } finally {
    clearTimeout(timer)
  }
}

/** Without the user and password that a URL may have. React Native's `URL` cannot tell. */
function hostOf(url: string): string {
  return /\/\/(?:[^/?#]*@)?([^/?#]*)/.exec(url)?.[1] ?? 'the server'
}
