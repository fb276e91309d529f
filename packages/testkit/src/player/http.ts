import { request as httpRequest, type IncomingMessage } from 'node:http'
import { parseJson } from '../recording/json.ts'
import { describeMismatch } from './report.ts'
import type { Renaming } from '../recording/renaming.ts'
import type { RecordedRequest, RecordedResponse } from '../recording/transcript.ts'

/** What proxies and HTTP libraries decide. */
const NOT_COMPARED = new Set(['cache-control', 'connection', 'content-length', 'date', 'keep-alive', 'server', 'transfer-encoding', 'vary'])

/** Headers whose value is another each time. */
const OTHER_EACH_TIME = new Set(['x-request-id', 'x-rate-limit-remaining', 'x-rate-rolling'])

/** Sends a recorded request. Null when no answer came in time. */
export async function request(
  base: string,
  deadlineMs: number,
  { method, path, headers, body }: RecordedRequest,
): Promise<RecordedResponse | null> {
  const { hostname, port } = new URL(base)
  return new Promise((resolve) => {
    const sent = httpRequest({ hostname, port, method, path, headers, agent: false, timeout: deadlineMs }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(responseOf(response, chunks)))
    })
    sent.on('timeout', () => sent.destroy())
    sent.on('error', () => resolve(null))
    sent.end(body ?? undefined)
  })
}

export function responseOf(message: IncomingMessage, chunks: readonly Buffer[]): RecordedResponse {
  const headers = Object.entries(message.headers).map(([name, value]) => [name, String(value)])
  return {
    status: message.statusCode ?? 0,
    headers: Object.fromEntries(headers) as Record<string, string>,
    body: Buffer.concat(chunks).toString(),
  }
}

/** Every point in which two answers differ. */
export function responseMismatches(
  renaming: Renaming,
  recorded: RecordedResponse,
  actual: RecordedResponse,
): { readonly part: string; readonly was: string; readonly is: string }[] {
  const found: { part: string; was: string; is: string }[] = []
  if (recorded.status !== actual.status) found.push({ part: 'status', was: String(recorded.status), is: String(actual.status) })
  const [was, is] = [comparable(recorded.headers), comparable(actual.headers)]
  for (const name of new Set([...was.keys(), ...is.keys()])) {
    if (was.get(name) !== is.get(name))
      found.push({ part: `header ${name}`, was: was.get(name) ?? 'not sent', is: is.get(name) ?? 'not sent' })
  }
  const detail = bodyMismatch(renaming, recorded.body, actual.body)
  if (detail !== null) found.push({ part: `body: ${detail}`, was: recorded.body, is: actual.body.slice(0, 400) })
  return found
}

/** Media types are written in any case, and JSON is UTF-8 whether that is said or not. */
function comparableValue(name: string, value: string): string {
  if (OTHER_EACH_TIME.has(name)) return 'some value'
  return name === 'content-type' ? value.toLowerCase().replaceAll(' ', '').replace('json;charset=utf-8', 'json') : value
}

function comparable(headers: Readonly<Record<string, string>>): Map<string, string> {
  // What begins with our name is an addition (rule H2).
  const kept = Object.entries(headers).filter(([name]) => !NOT_COMPARED.has(name) && !name.startsWith('tidewire-'))
  return new Map(kept.map(([name, value]) => [name, comparableValue(name, value)]))
}

function bodyMismatch(renaming: Renaming, recorded: string, actual: string): string | null {
  const [was, is] = [parseJson(recorded), parseJson(actual)]
  if (was === undefined || is === undefined) return recorded === actual ? null : 'another text'
  const mismatch = renaming.compare(was, is)
  return mismatch === null ? null : describeMismatch(mismatch)
}
