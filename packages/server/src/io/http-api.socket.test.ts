import { createServer, type Server } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { allObservers } from '../all-observers.ts'
import { defaultLimits, type Limits } from '../limits/limits.ts'
import type { Decision, Observer, PublishOutcome, PublishRequest } from '../ports.ts'
import { httpApi, type HttpApiDeps } from './http-api.ts'
import { tokenVerifier } from './token-verifier.ts'

const SECRET = 'a-secret-of-more-than-thirty-two-characters'
const NOW_MS = 1_700_000_000_000

const observer: Observer = { ...allObservers([]), decision: (decision) => decisions.push(decision) }

let server: Server
let url: string
let uptime: number
let decisions: Decision[]
let published: PublishRequest[]
let outcome: (request: PublishRequest) => PublishOutcome
let draining: boolean
let token: string

function jwt(claims: Record<string, unknown>, secret = SECRET): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode(secret))
}

async function open(limits: Partial<Limits> = {}, deps: Partial<HttpApiDeps> = {}): Promise<void> {
  await close()
  const api = httpApi({
    verifier: tokenVerifier({ secret: SECRET }),
    runtime: { now: () => NOW_MS, uptime: () => uptime },
    publish: (request) => {
      published.push(request)
      return Promise.resolve(outcome(request))
    },
    limits: { ...defaultLimits, ...limits },
    observer,
    metrics: { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: () => Promise.resolve('up 1\n') },
    metricsVerifier: null,
    draining: () => draining,
    ...deps,
  })
  const listener = getRequestListener(api.fetch, { overrideGlobalObjects: false })
  server = createServer((request, response) => void listener(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function close(): Promise<void> {
  if (!server?.listening) return
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

async function call(path: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url + path, init)
  return { status: response.status, headers: response.headers, body: await response.text() }
}

function post(path: string, body: unknown, headers: Record<string, string> = { apikey: token }): Promise<Answer> {
  const given = typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
  return call(path, { method: 'POST', body: given as BodyInit, headers: { 'content-type': 'application/json', ...headers } })
}

function batch(...messages: unknown[]): { messages: unknown[] } {
  return { messages }
}

const MESSAGE = { topic: 'h1', event: 'e', payload: { a: 1 } }

beforeEach(async () => {
  uptime = 1_000
  decisions = []
  published = []
  outcome = () => ({ kind: 'accepted', receivers: 1 })
  draining = false
  token = await jwt({ role: 'anon', exp: NOW_MS / 1000 + 60 })
  await open()
})

afterEach(close)

describe.each(['', '/realtime/v1'])('POST %s/api/broadcast', (base) => {
  const path = `${base}/api/broadcast`

  test('202 with nothing, and the message as it was', async () => {
    const answer = await post(path, `{"messages":[{"topic":"h1","event":"e","payload":{"n": 12345678901234567890}}]}`)
    expect(answer).toMatchObject({ status: 202, body: '' })
    expect(answer.headers.get('content-length')).toBe('0')
    expect(published).toHaveLength(1)
    expect(published[0]).toMatchObject({ subTopic: 'h1', event: 'e', private: false, form: 'text' })
    expect(Buffer.from(published[0]!.payload.bytes).toString()).toBe('{"n": 12345678901234567890}')
  })

  test('several messages arrive in their order', async () => {
    expect((await post(path, batch(...[1, 2, 3].map((a) => ({ ...MESSAGE, event: `e${a}` }))))).status).toBe(202)
    expect(published.map(({ event }) => event)).toEqual(['e1', 'e2', 'e3'])
  })

  test('the identity is of the bearer token where both are given, and knows all headers', async () => {
    const bearer = await jwt({ role: 'authenticated', sub: 'me', exp: NOW_MS / 1000 + 60 })
    await post(path, batch({ ...MESSAGE, private: true, id: 'my-id' }), {
      apikey: token,
      authorization: `Bearer ${bearer}`,
      'X-Tenant': 'a',
    })
    expect(published[0]).toMatchObject({
      private: true,
      id: 'my-id',
      identity: { role: 'authenticated', claims: { sub: 'me' }, headers: { 'x-tenant': 'a', 'content-type': 'application/json' } },
    })
  })

  test('a private message that is denied is dropped and observed, the others go on, the answer is 202', async () => {
    outcome = ({ private: isPrivate }) => (isPrivate ? { kind: 'denied' } : { kind: 'accepted', receivers: 0 })
    const answer = await post(path, batch(MESSAGE, { ...MESSAGE, private: true }, MESSAGE))
    expect(answer.status).toBe(202)
    expect(published).toHaveLength(3)
    expect(decisions).toEqual([
      {
        kind: 'publish-refused',
        code: 'unauthorized',
        detail: 'role "anon" may not send to this topic',
        topic: 'realtime:h1',
        private: true,
      },
    ])
  })

  test.each([
    ['no token', {}, 'token-missing'],
    ['a bad token', { apikey: 'bad' }, 'token-malformed'],
    ['an empty token', { apikey: '' }, 'token-missing'],
    ['an opaque key', { authorization: 'Bearer sb_publishable_x' }, 'token-missing'],
    ['another scheme', { authorization: 'Basic YTpi' }, 'token-missing'],
  ])('%s: 401', async (_, headers, code) => {
    const answer = await post(path, batch(MESSAGE), headers)
    expect(answer).toMatchObject({ status: 401, body: '{"message":"Unauthorized"}' })
    expect(answer.headers.get('x-rate-limit')).toBe('100')
    expect(decisions).toMatchObject([{ kind: 'http-refused', code }])
    expect(published).toEqual([])
  })

  test('expired, forged and incomplete tokens: 401, and nothing of them is told to the observer', async () => {
    const tokens = [
      await jwt({ role: 'anon', exp: NOW_MS / 1000 }),
      await jwt({ role: 'anon', exp: NOW_MS / 1000 + 60 }, 'another secret'),
      await jwt({ exp: NOW_MS / 1000 + 60 }),
    ]
    for (const apikey of tokens) expect((await post(path, batch(MESSAGE), { apikey })).status).toBe(401)
    expect(decisions.map(({ code }) => code)).toEqual(['token-expired', 'token-signature', 'token-incomplete'])
    for (const apikey of tokens) expect(JSON.stringify(decisions)).not.toContain(apikey.split('.')[1])
  })

  test('an opaque key as bearer leaves the apikey to decide', async () => {
    expect((await post(path, batch(MESSAGE), { authorization: 'Bearer sb_secret_x', apikey: token })).status).toBe(202)
  })

  test.each([
    ['', '{"errors":{"messages":["can\'t be blank"]}}'],
    ['{}', '{"errors":{"messages":["can\'t be blank"]}}'],
    ['{"messages":"x"}', '{"errors":{"messages":["is invalid"]}}'],
    ['{"messages":[{"event":"e","payload":{}}]}', '{"errors":{"messages":[{"topic":["can\'t be blank"]}]}}'],
    [
      '{"messages":[{"topic":"h1","event":"good","payload":{}},{"topic":"h1"}]}',
      '{"errors":{"messages":[{},{"event":["can\'t be blank"],"payload":["can\'t be blank"]}]}}',
    ],
  ])('%j: 422', async (body, expected) => {
    expect(await post(path, body)).toMatchObject({ status: 422, body: expected })
    expect(published).toEqual([])
  })

  test('a payload over the limit: 422', async () => {
    await open({ maxPayloadBytes: 100 })
    const answer = await post(path, batch({ ...MESSAGE, payload: { d: 'x'.repeat(100) } }))
    expect(answer).toMatchObject({ status: 422, body: '{"errors":{"messages":[{"payload":["Payload size exceeds tenant limit"]}]}}' })
  })

  test('broken JSON: 400', async () => {
    expect(await post(path, '{"messages":')).toMatchObject({ status: 400, body: 'Bad Request' })
  })

  test('another type: 422, as if there were no body', async () => {
    const answer = await post(path, batch(MESSAGE), { apikey: token, 'content-type': 'text/plain' })
    expect(answer).toMatchObject({ status: 422, body: '{"errors":{"messages":["can\'t be blank"]}}' })
  })

  test('more messages than the limit: 429, and none is sent', async () => {
    const answer = await post(path, batch(...Array.from({ length: 101 }, () => MESSAGE)))
    expect(answer).toMatchObject({ status: 429, body: '{"message":"Too many messages to broadcast, please reduce the batch size"}' })
    expect(answer.headers.get('retry-after')).toBe('5')
    expect(published).toEqual([])
  })

  test('without limits a batch is bounded all the same', async () => {
    await open({ maxEventsPerSecond: Infinity })
    expect((await post(path, batch(...Array.from({ length: 10_001 }, () => ({}))))).status).toBe(429)
    const answer = await post(path, batch(MESSAGE))
    expect(answer.status).toBe(202)
    expect(answer.headers.has('x-rate-limit')).toBe(false)
  })

  test('an authorizer that cannot answer: 503 with its message', async () => {
    outcome = () => ({ kind: 'unavailable', message: 'Tenant database unavailable' })
    expect(await post(path, batch(MESSAGE))).toMatchObject({ status: 503, body: '{"message":"Tenant database unavailable"}' })
    expect(decisions).toMatchObject([{ kind: 'publish-refused', code: 'authorizer-unavailable' }])
  })

  test('limits of the server behind: 422 and 429', async () => {
    outcome = () => ({ kind: 'too-large' })
    expect((await post(path, batch(MESSAGE))).status).toBe(422)
    outcome = () => ({ kind: 'rate-limited' })
    expect(await post(path, batch(MESSAGE))).toMatchObject({ status: 429, body: '{"message":"You have exceeded your rate limit"}' })
  })

  test('a fault of ours: 500, told to the observer, and the next request is served', async () => {
    outcome = () => {
      throw new Error('oops')
    }
    expect(await post(path, batch(MESSAGE))).toMatchObject({ status: 500, body: '{"message":"Internal Server Error"}' })
    expect(decisions).toMatchObject([{ kind: 'http-refused', code: 'internal-error', detail: 'oops' }])
    outcome = () => ({ kind: 'accepted', receivers: 0 })
    expect((await post(path, batch(MESSAGE))).status).toBe(202)
  })
})

describe.each(['', '/realtime/v1'])('POST %s/api/broadcast/:topic/events/:event', (base) => {
  const path = (topic: string, event: string, query = ''): string => `${base}/api/broadcast/${topic}/events/${event}${query}`

  test('JSON', async () => {
    expect(await post(path('h1', 'ev'), '{"a": 1.0}')).toMatchObject({ status: 202, body: '' })
    expect(published[0]).toMatchObject({ subTopic: 'h1', event: 'ev', private: false, form: 'user', payload: { encoding: 'json' } })
    expect(Buffer.from(published[0]!.payload.bytes).toString()).toBe('{"a": 1.0}')
  })

  test('bytes', async () => {
    const answer = await post(path('h1', 'ev'), new Uint8Array([1, 2, 0]), { apikey: token, 'content-type': 'application/octet-stream' })
    expect(answer.status).toBe(202)
    expect(published[0]?.payload.encoding).toBe('binary')
    expect([...published[0]!.payload.bytes]).toEqual([1, 2, 0])
  })

  test('no Content-Type is JSON', async () => {
    const answer = await call(path('h1', 'ev'), {
      method: 'POST',
      headers: { apikey: token },
      body: new Uint8Array(Buffer.from('{"a":1}')),
    })
    expect(answer.status).toBe(202)
    expect(published[0]?.payload.encoding).toBe('json')
  })

  test('no body is an empty object', async () => {
    expect((await call(path('h1', 'ev'), { method: 'POST', headers: { apikey: token } })).status).toBe(202)
    expect(Buffer.from(published[0]!.payload.bytes).toString()).toBe('{}')
  })

  test.each([
    ['room%3Ah', 'room:h'],
    ['room:h', 'room:h'],
    ['a%2Fb', 'a/b'],
    ['100%25', '100%'],
    ['a%252Fb', 'a%2Fb'],
    ['%C3%A9%F0%9F%91%8B', 'é👋'],
    ['a+b', 'a+b'],
    ['a%3Fb%23c', 'a?b#c'],
    ['realtime%3Ax', 'realtime:x'],
  ])('the topic %s is %s', async (encoded, topic) => {
    expect((await post(path(encoded, encoded), {})).status).toBe(202)
    expect(published[0]).toMatchObject({ subTopic: topic, event: topic })
  })

  test.each([
    ['?private=true', true],
    ['?private=false', false],
    ['?private=banana', false],
    ['', false],
  ])('%s', async (query, isPrivate) => {
    await post(path('h1', 'ev', query), {})
    expect(published[0]?.private).toBe(isPrivate)
  })

  test('denied: 403', async () => {
    outcome = () => ({ kind: 'denied' })
    expect(await post(path('room', 'ev', '?private=true'), {})).toMatchObject({ status: 403, body: '{"message":"Unauthorized"}' })
    expect(decisions).toMatchObject([{ kind: 'publish-refused', code: 'unauthorized', topic: 'realtime:room' }])
  })

  test('no token: 401', async () => {
    expect(await post(path('h1', 'ev'), {}, {})).toMatchObject({ status: 401, body: '{"message":"Unauthorized"}' })
  })

  test('another type: 415', async () => {
    expect(await post(path('h1', 'ev'), 'hi', { apikey: token, 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      body: '{"error":"Unsupported Media Type. Use application/json or application/octet-stream"}',
    })
  })

  test('broken JSON: 400', async () => {
    expect(await post(path('h1', 'ev'), '{')).toMatchObject({ status: 400, body: 'Bad Request' })
  })

  test('names that no frame can carry: 422', async () => {
    expect(await post(path('x'.repeat(300), '%20'), {})).toMatchObject({
      status: 422,
      body: '{"errors":{"event":["can\'t be blank"],"topic":["is over 255 bytes"]}}',
    })
  })

  test('what the server behind says', async () => {
    outcome = () => ({ kind: 'too-large' })
    expect(await post(path('h1', 'ev'), {})).toMatchObject({
      status: 422,
      body: '{"errors":{"payload":["Payload size exceeds tenant limit"]}}',
    })
    outcome = () => ({ kind: 'rate-limited' })
    expect(await post(path('h1', 'ev'), {})).toMatchObject({ status: 429, body: '{"message":"You have exceeded your rate limit"}' })
    outcome = () => ({ kind: 'unavailable', message: 'no' })
    expect(await post(path('h1', 'ev'), {})).toMatchObject({ status: 503, body: '{"message":"no"}' })
  })
})

describe('rates', () => {
  test('the headers tell the average of requests, and the limit is for requests too', async () => {
    await open({ maxEventsPerSecond: 4 })
    let last: Answer | undefined
    for (let i = 0; i < 19; i++) last = await post('/api/broadcast', batch({ ...MESSAGE, topic: '' }))
    expect(last?.status).toBe(422)
    expect(last?.headers.get('x-rate-limit')).toBe('4')
    expect(last?.headers.get('x-rate-rolling')).toBe('4')
    expect(last?.headers.get('x-rate-limit-remaining')).toBe('0')
    expect(await post('/api/broadcast', batch(MESSAGE))).toMatchObject({ status: 429, body: '{"message":"Too many requests"}' })
    uptime += 60_000
    expect((await post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
  })

  test('messages are counted too, and clear with time', async () => {
    await open({ maxEventsPerSecond: 10 })
    for (let i = 0; i < 5; i++)
      expect((await post('/api/broadcast', batch(...Array.from({ length: 8 }, () => MESSAGE)))).status).toBe(i < 2 ? 202 : 429)
    expect((await post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
    uptime += 60_000
    expect((await post('/api/broadcast', batch(...Array.from({ length: 8 }, () => MESSAGE)))).status).toBe(202)
  })

  test('callers without a good token do not use it up', async () => {
    await open({ maxEventsPerSecond: 1 })
    for (let i = 0; i < 20; i++) expect((await post('/api/broadcast', batch(MESSAGE), { apikey: 'bad' })).status).toBe(401)
    expect((await post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
  })
})

describe('health, ping, metrics', () => {
  test.each(['', '/realtime/v1'])('%s/healthcheck and ping', async (base) => {
    expect(await call(`${base}/healthcheck`)).toMatchObject({ status: 200, body: 'ok' })
    expect(await call(`${base}/api/ping`)).toMatchObject({ status: 200, body: '{"message":"Success"}' })
    expect((await call(`${base}/healthcheck`, { method: 'HEAD' })).status).toBe(200)
    draining = true
    expect(await call(`${base}/healthcheck`)).toMatchObject({ status: 503, body: 'draining' })
  })

  test('metrics are open without a verifier', async () => {
    const answer = await call('/metrics')
    expect(answer).toMatchObject({ status: 200, body: 'up 1\n' })
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  })

  test('metrics want a token of their own secret otherwise', async () => {
    await open({}, { metricsVerifier: tokenVerifier({ secret: 'metrics secret' }) })
    const get = async (authorization?: string): Promise<number> =>
      (await call('/metrics', authorization === undefined ? {} : { headers: { authorization } })).status
    expect(await get()).toBe(403)
    expect(await get('Bearer metrics secret')).toBe(403)
    expect(await get(`Bearer ${token}`)).toBe(403)
    expect(await get(`Bearer ${await jwt({ role: 'metrics', exp: 1 }, 'metrics secret')}`)).toBe(403)
    expect(await get(`Bearer ${await jwt({ role: 'metrics', exp: NOW_MS / 1000 + 60 }, 'metrics secret')}`)).toBe(200)
    expect(await get(`Bearer ${await jwt({}, 'metrics secret')}`)).toBe(200)
    expect(await call('/metrics')).toMatchObject({ status: 403, body: '' })
  })

  test('without metrics there is no such path', async () => {
    await open({}, { metrics: null })
    expect((await call('/metrics')).status).toBe(404)
  })
})

describe('paths, methods, origins', () => {
  test.each(['/', '/nope', '/api', '/api/nope', '/realtime/v1', '/api/broadcast/x', '/api/broadcast/x/events', '/API/broadcast'])(
    '%s: 404',
    async (path) => {
      expect(await post(path, {})).toMatchObject({ status: 404, body: 'Not Found' })
    },
  )

  test.each([
    ['GET', '/api/broadcast', 'POST'],
    ['PUT', '/realtime/v1/api/broadcast', 'POST'],
    ['DELETE', '/api/broadcast/x/events/y', 'POST'],
    ['POST', '/healthcheck', 'GET, HEAD'],
    ['POST', '/api/ping', 'GET, HEAD'],
    ['POST', '/metrics', 'GET, HEAD'],
  ])('%s %s: 405', async (method, path, allow) => {
    const answer = await call(path, { method })
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe(allow)
  })

  test.each(['/api/broadcast', '/realtime/v1/api/broadcast', '/api/broadcast/x/events/y'])('a preflight of %s', async (path) => {
    const answer = await call(path, {
      method: 'OPTIONS',
      headers: { origin: 'https://x.test', 'access-control-request-method': 'POST', 'access-control-request-headers': 'apikey,X-Own' },
    })
    expect(answer).toMatchObject({ status: 204, body: '' })
    expect(answer.headers.get('access-control-allow-origin')).toBe('*')
    expect(answer.headers.get('access-control-allow-methods')).toContain('POST')
    expect(answer.headers.get('access-control-allow-headers')?.split(',')).toEqual([
      'apikey',
      'authorization',
      'content-type',
      'x-client-info',
      'x-own',
    ])
    expect(published).toEqual([])
  })

  test('OPTIONS without asking for headers tells the usual ones', async () => {
    const answer = await call('/api/broadcast', { method: 'OPTIONS' })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-headers')).toBe('apikey,authorization,content-type,x-client-info')
  })

  test('every answer may be read by any page, refusals too', async () => {
    const answers = [
      await post('/api/broadcast', batch(MESSAGE)),
      await post('/api/broadcast', batch(MESSAGE), {}),
      await post('/api/broadcast', '{'),
      await call('/api/broadcast'),
      await call('/api/nope'),
      await call('/api/ping'),
    ]
    expect(answers.map(({ status }) => status)).toEqual([202, 401, 400, 405, 404, 200])
    for (const { headers } of answers) expect(headers.get('access-control-allow-origin')).toBe('*')
  })
})

/** Writes bytes as they are and gives what comes back until the other side closes, or until `enough`. */
function raw(chunks: readonly (string | Buffer)[], enough: RegExp = /\r\n\r\n/): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    let text = ''
    const deadline = setTimeout(() => socket.destroy(new Error(`no answer in time, only ${JSON.stringify(text)}`)), 10_000)
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (enough.test(text)) socket.destroy()
    })
    socket.on('close', () => {
      clearTimeout(deadline)
      resolve(text)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // The server may close while we still write; what it said before counts.
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error)
    })
    for (const chunk of chunks) socket.write(chunk)
  })
}

describe('bodies', () => {
  const head = (...headers: string[]): string =>
    ['POST /api/broadcast HTTP/1.1', 'host: x', `apikey: ${token}`, 'content-type: application/json', ...headers, '', ''].join('\r\n')
  const good = JSON.stringify(batch(MESSAGE))

  test('at the bound is read, over it is 413, by length and by chunks', async () => {
    await open({ maxBodyBytes: 1_000 })
    const sized = (size: number): string => good + ' '.repeat(size - good.length)
    expect((await post('/api/broadcast', sized(1_000))).status).toBe(202)
    expect(await post('/api/broadcast', sized(1_001))).toMatchObject({ status: 413, body: '{"message":"The body is over 1000 bytes"}' })
    const chunked = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
    expect(await raw([head('transfer-encoding: chunked'), chunked(sized(1_000)), '0\r\n\r\n'])).toMatch(/^HTTP\/1.1 202/)
    expect(await raw([head('transfer-encoding: chunked'), chunked(sized(600)), chunked(' '.repeat(600)), '0\r\n\r\n'])).toMatch(
      /^HTTP\/1.1 413/,
    )
  })

  test('an endless body is answered and cut while it still comes', async () => {
    await open({ maxBodyBytes: 100_000 })
    const chunk = `${(65_536).toString(16)}\r\n${' '.repeat(65_536)}\r\n`
    expect(await raw([head('transfer-encoding: chunked'), ...Array.from({ length: 10 }, () => chunk)])).toMatch(/^HTTP\/1.1 413/)
  })

  test('a huge Content-Length is refused before anything is sent', async () => {
    expect(await raw([head('content-length: 9000000')])).toMatch(/^HTTP\/1.1 413/)
  })

  test('a Content-Length that is too short: what is over it is no part of the body and ends its own connection only', async () => {
    const text = await raw([head(`content-length: ${good.length}`), good, 'garbage over it\r\n\r\n'], /400 Bad Request/)
    expect(text).toMatch(/^HTTP\/1.1 (202|400)/)
    for (const { payload } of published) expect(Buffer.from(payload.bytes).toString()).toBe('{"a":1}')
    expect((await post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
  })

  test('a body that ends early harms nobody', async () => {
    await new Promise<void>((resolve, reject) => {
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
        socket.write(head(`content-length: ${good.length}`) + good.slice(0, 10), () => socket.destroy())
      })
      socket.on('close', () => resolve())
      socket.on('error', reject)
    })
    expect((await post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
    expect(published).toHaveLength(1)
  })

  test('without a good token the body is not even waited for', async () => {
    expect(await raw(['POST /api/broadcast HTTP/1.1\r\nhost: x\r\ncontent-length: 7000000\r\n\r\n'])).toMatch(/^HTTP\/1.1 401/)
  })

  test('property: no body makes the server fail', async () => {
    await open({ maxEventsPerSecond: Infinity })
    const entry = fc.record(
      {
        topic: fc.oneof(fc.string(), fc.jsonValue()),
        event: fc.oneof(fc.string(), fc.jsonValue()),
        payload: fc.oneof(fc.object(), fc.jsonValue()),
        private: fc.jsonValue(),
        id: fc.jsonValue(),
      },
      { requiredKeys: [] },
    )
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.array(fc.oneof(entry, fc.jsonValue()), { maxLength: 4 }).map((messages) => JSON.stringify({ messages })),
      entry.map((message) => JSON.stringify({ messages: [message] }).slice(0, -1)),
      fc.constantFrom(
        '['.repeat(100_000),
        '{"messages":['.repeat(1_000),
        `{"messages":[{"payload":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}]}`,
      ),
    )
    const path = fc.constantFrom('/api/broadcast', '/api/broadcast/t/events/e', '/realtime/v1/api/broadcast')
    const type = fc.constantFrom('application/json', 'application/octet-stream', 'text/plain', 'application/x-www-form-urlencoded')
    const statuses = new Set<number>()
    await fc.assert(
      fc.asyncProperty(path, type, body, async (path, type, body) => {
        const { status } = await post(path, body, { apikey: token, 'content-type': type })
        statuses.add(status)
        expect([202, 400, 415, 422]).toContain(status)
      }),
      { numRuns: 1_000 },
    )
    expect([...statuses].sort()).toEqual([202, 400, 415, 422])
    // A thousand requests: seconds here, many on a machine that is busy.
  }, 60_000)
})
