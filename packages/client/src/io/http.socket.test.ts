import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { http } from './http.ts'

let server: Server
let url: string
let seen: { method: string | undefined; headers: Record<string, unknown>; body: string }[] = []

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      seen.push({ method: request.method, headers: request.headers, body })
      if (request.url === '/silent') return
      response.writeHead(request.url === '/busy' ? 503 : 202, { 'content-type': 'text/plain' }).end(request.url === '/busy' ? 'later' : '')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(resolve))
})

const request = (path: string, timeoutMs = 5000) => ({
  url: url + path,
  headers: { apikey: 'k', 'Content-Type': 'application/json' },
  body: '{"n":1}',
  timeoutMs,
})

/** The timers of this process before and after. */
const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length

test('posts, and gives the answer whatever its status', async () => {
  seen = []
  expect(await http(request('/'), undefined)).toEqual({ status: 202, statusText: 'Accepted', body: '' })
  expect(await http(request('/busy'), undefined)).toEqual({ status: 503, statusText: 'Service Unavailable', body: 'later' })
  expect(seen[0]).toMatchObject({ method: 'POST', headers: { apikey: 'k', 'content-type': 'application/json' }, body: '{"n":1}' })
})

test('a silent server is a timeout, no server a failed call; neither leaves a timer', async () => {
  const before = timers()
  await expect(http(request('/silent', 50), undefined)).rejects.toMatchObject({ code: 'timeout', retryable: true })
  const broken = (): Promise<Response> => Promise.reject(new TypeError('fetch failed'))
  await expect(http(request('/', 60_000), broken)).rejects.toMatchObject({ code: 'http-failed', cause: { message: 'fetch failed' } })
  expect(timers()).toBeLessThanOrEqual(before)
})

test('the fetch of the user is used', async () => {
  const calls: unknown[] = []
  const answer = await http(request('/'), (...call) => {
    calls.push(call)
    return Promise.resolve(new Response('made up', { status: 422 }))
  })
  expect([answer.status, answer.body, calls.length]).toEqual([422, 'made up', 1])
})

test('a mock of fetch needs no more than realtime-js asks for, and its errors keep their text', async () => {
  const mock = (answer: object): typeof fetch => (() => Promise.resolve(answer)) as never
  expect(await http(request('/'), mock({ ok: true, status: 202 }))).toMatchObject({ status: 202, body: '' })
  const refusing = mock({ ok: false, status: 403, json: () => Promise.resolve({ message: 'no' }) })
  expect(await http(request('/'), refusing)).toMatchObject({ status: 403, body: '{"message":"no"}' })
  const failing =
    (fault: Error): typeof fetch =>
    async () =>
      Promise.reject(fault)
  await expect(http(request('/'), failing(new Error('offline')))).rejects.toMatchObject({ code: 'http-failed', message: 'offline' })
  const aborted = Object.assign(new Error('stopped'), { name: 'AbortError' })
  await expect(http(request('/'), failing(aborted))).rejects.toMatchObject({ code: 'timeout', cause: aborted })
})

test('without a body it asks by GET', async () => {
  seen = []
  expect(await http({ url: `${url}/busy`, timeoutMs: 5000 }, undefined)).toMatchObject({ status: 503, body: 'later' })
  expect(seen).toMatchObject([{ method: 'GET', body: '' }])
})
