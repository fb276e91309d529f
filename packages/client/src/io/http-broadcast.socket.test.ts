import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { post } from './http-broadcast.ts'

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
  expect(await post(request('/'))).toEqual({ status: 202, statusText: 'Accepted', body: '' })
  expect(await post(request('/busy'))).toEqual({ status: 503, statusText: 'Service Unavailable', body: 'later' })
  expect(seen[0]).toMatchObject({ method: 'POST', headers: { apikey: 'k', 'content-type': 'application/json' }, body: '{"n":1}' })
})

test('a silent server is a timeout, no server a failed call; neither leaves a timer', async () => {
  const before = timers()
  await expect(post(request('/silent', 50))).rejects.toMatchObject({ code: 'timeout', retryable: true })
  const broken = (): Promise<Response> => Promise.reject(new TypeError('fetch failed'))
  await expect(post(request('/', 60_000), broken)).rejects.toMatchObject({ code: 'http-failed', cause: { message: 'fetch failed' } })
  expect(timers()).toBeLessThanOrEqual(before)
})

test('the fetch of the user is used', async () => {
  const calls: unknown[] = []
  const answer = await post(request('/'), (...call) => {
    calls.push(call)
    return Promise.resolve(new Response('made up', { status: 201 }))
  })
  expect([answer.status, answer.body, calls.length]).toEqual([201, 'made up', 1])
})
