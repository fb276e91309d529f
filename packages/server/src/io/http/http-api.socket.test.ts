import { connect } from 'node:net'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ApiServer, batch, jwt, MESSAGE, NOW_MS } from '../../../test/api-server.ts'
import { tokenVerifier } from '../tokens/token-verifier.ts'

let api: ApiServer

beforeEach(async () => {
  api = new ApiServer()
  await api.open()
})

afterEach(() => api.close())

describe('health, ping, metrics', () => {
  test('?ready is 503 until the window is read, and says what makes the server degraded (rule H5)', async () => {
    const progress = { lagBytes: 0, oldestAt: null, trouble: null }
    const ask = async (more: object, query = '?ready'): Promise<unknown> => {
      await api.open({}, { feedProgress: () => ({ ...progress, ...more }) })
      const { status, body } = await api.call(`/healthcheck${query}`)
      return [status, body]
    }
    expect(await ask({ unready: 'still reading' })).toEqual([503, 'not ready: still reading'])
    expect(await ask({ unready: 'still reading' }, '')).toEqual([200, 'ok'])
    expect(await ask({ unready: null, degraded: 'alone' })).toEqual([200, 'degraded: alone'])
    expect(await ask({})).toEqual([200, 'ok'])
    api.draining = true
    expect(await ask({})).toEqual([503, 'draining'])
    api.draining = false
    await api.open()
    expect(await api.call('/healthcheck?ready')).toMatchObject({ status: 200, body: 'ok' })
  })

  test.each(['', '/realtime/v1'])('%s/healthcheck and ping', async (base) => {
    expect(await api.call(`${base}/healthcheck`)).toMatchObject({ status: 200, body: 'ok' })
    expect(await api.call(`${base}/api/ping`)).toMatchObject({ status: 200, body: '{"message":"Success"}' })
    expect((await api.call(`${base}/healthcheck`, { method: 'HEAD' })).status).toBe(200)
    api.draining = true
    expect(await api.call(`${base}/healthcheck`)).toMatchObject({ status: 503, body: 'draining' })
  })

  test('metrics are open without a verifier', async () => {
    const answer = await api.call('/metrics')
    expect(answer).toMatchObject({ status: 200, body: 'up 1\n' })
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  })

  test('metrics want a token of their own secret otherwise', async () => {
    await api.open({}, { metricsVerifier: tokenVerifier({ secret: 'metrics secret' }) })
    const get = async (authorization?: string): Promise<number> =>
      (await api.call('/metrics', authorization === undefined ? {} : { headers: { authorization } })).status
    expect(await get()).toBe(403)
    expect(await get('Bearer metrics secret')).toBe(403)
    expect(await get(`Bearer ${api.token}`)).toBe(403)
    expect(await get(`Bearer ${await jwt({ role: 'metrics', exp: 1 }, 'metrics secret')}`)).toBe(403)
    expect(await get(`Bearer ${await jwt({ role: 'metrics', exp: NOW_MS / 1000 + 60 }, 'metrics secret')}`)).toBe(200)
    expect(await get(`Bearer ${await jwt({}, 'metrics secret')}`)).toBe(200)
    expect(await api.call('/metrics')).toMatchObject({ status: 403, body: '' })
  })

  test('without metrics there is no such path', async () => {
    await api.open({}, { metrics: null })
    expect((await api.call('/metrics')).status).toBe(404)
  })
})

describe('paths, methods, origins', () => {
  test.each(['/socket/websocket', '/realtime/v1/websocket'])(
    '%s without an upgrade answers as an upgrade would, to pages too (rule H7)',
    async (path) => {
      const ask = async (query: string): Promise<unknown[]> => {
        const { status, body, headers } = await api.call(path + query, { headers: { origin: 'https://x.test' } })
        return [status, body, headers.get('access-control-allow-origin')]
      }
      const text = 'This path takes WebSockets: the request must ask for an upgrade'
      expect(await ask('')).toEqual([400, text, '*'])
      expect(await ask(`?apikey=${api.token}&vsn=2.0.0`)).toEqual([400, text, '*'])
      expect(await ask('?apikey=wrong&vsn=2.0.0')).toEqual([401, '{"error":"The token provided is not a valid JWT"}', '*'])
      expect(await ask(`?apikey=${api.token}&vsn=9`)).toEqual([403, '', '*'])
      expect((await api.call(`${path}x`)).headers.get('access-control-allow-origin')).toBe('*')
    },
  )

  test.each(['/', '/nope', '/api', '/api/nope', '/realtime/v1', '/api/broadcast/x', '/api/broadcast/x/events', '/API/broadcast'])(
    '%s: 404',
    async (path) => {
      expect(await api.post(path, {})).toMatchObject({ status: 404, body: 'Not Found' })
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
    const answer = await api.call(path, { method })
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe(allow)
  })

  test.each(['/api/broadcast', '/realtime/v1/api/broadcast', '/api/broadcast/x/events/y'])('a preflight of %s', async (path) => {
    const answer = await api.call(path, {
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
    expect(api.published).toEqual([])
  })

  test('OPTIONS without asking for headers names the usual ones', async () => {
    const answer = await api.call('/api/broadcast', { method: 'OPTIONS' })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-headers')).toBe('apikey,authorization,content-type,x-client-info')
  })

  test('every answer may be read by any page, refusals too', async () => {
    const answers = [
      await api.post('/api/broadcast', batch(MESSAGE)),
      await api.post('/api/broadcast', batch(MESSAGE), {}),
      await api.post('/api/broadcast', '{'),
      await api.call('/api/broadcast'),
      await api.call('/api/nope'),
      await api.call('/api/ping'),
    ]
    expect(answers.map(({ status }) => status)).toEqual([202, 401, 400, 405, 404, 200])
    for (const { headers } of answers) expect(headers.get('access-control-allow-origin')).toBe('*')
  })
})

/** Writes bytes as they are and gives what comes back until the other side closes, or until `enough`. */
function raw(chunks: readonly (string | Buffer)[], enough: RegExp = /\r\n\r\n/): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(api.port, '127.0.0.1')
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
    ['POST /api/broadcast HTTP/1.1', 'host: x', `apikey: ${api.token}`, 'content-type: application/json', ...headers, '', ''].join('\r\n')
  const good = JSON.stringify(batch(MESSAGE))

  test('at the bound is read, over it is 413, by length and by chunks', async () => {
    await api.open({ maxBodyBytes: 1_000 })
    const sized = (size: number): string => good + ' '.repeat(size - good.length)
    expect((await api.post('/api/broadcast', sized(1_000))).status).toBe(202)
    expect(await api.post('/api/broadcast', sized(1_001))).toMatchObject({ status: 413, body: '{"message":"The body is over 1000 bytes"}' })
    const chunked = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
    expect(await raw([head('transfer-encoding: chunked'), chunked(sized(1_000)), '0\r\n\r\n'])).toMatch(/^HTTP\/1.1 202/)
    expect(await raw([head('transfer-encoding: chunked'), chunked(sized(600)), chunked(' '.repeat(600)), '0\r\n\r\n'])).toMatch(
      /^HTTP\/1.1 413/,
    )
  })

  test('an endless body is answered and cut while it still comes', async () => {
    await api.open({ maxBodyBytes: 100_000 })
    const chunk = `${(65_536).toString(16)}\r\n${' '.repeat(65_536)}\r\n`
    expect(await raw([head('transfer-encoding: chunked'), ...Array.from({ length: 10 }, () => chunk)])).toMatch(/^HTTP\/1.1 413/)
  })

  test('a huge Content-Length is refused before anything is sent', async () => {
    expect(await raw([head('content-length: 9000000')])).toMatch(/^HTTP\/1.1 413/)
  })

  test('a Content-Length that is too short: what is over it is no part of the body and ends its own connection only', async () => {
    const text = await raw([head(`content-length: ${good.length}`), good, 'garbage over it\r\n\r\n'], /400 Bad Request/)
    expect(text).toMatch(/^HTTP\/1.1 (202|400)/)
    for (const { payload } of api.published) expect(Buffer.from(payload.bytes).toString()).toBe('{"a":1}')
    expect((await api.post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
  })

  test('a body that ends early harms no other request', async () => {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(api.port, '127.0.0.1', () => {
        socket.write(head(`content-length: ${good.length}`) + good.slice(0, 10), () => socket.destroy())
      })
      socket.on('close', () => resolve())
      socket.on('error', reject)
    })
    expect((await api.post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
    expect(api.published).toHaveLength(1)
  })

  test('a body that stands still is 408, and its connection ends', async () => {
    const text = await raw([head('content-length: 5000'), '{"messages":'], /slowly/)
    expect(text).toMatch(/^HTTP\/1.1 408/)
    expect(text.toLowerCase()).toContain('connection: close')
    expect(api.decisions).toMatchObject([{ kind: 'http-refused', code: 'body-too-slow' }])
  })

  test('without a good token the body is not even waited for', async () => {
    expect(await raw(['POST /api/broadcast HTTP/1.1\r\nhost: x\r\ncontent-length: 7000000\r\n\r\n'])).toMatch(/^HTTP\/1.1 401/)
  })

  test('property: no body makes the server fail', async () => {
    await api.open({ maxEventsPerSecond: Infinity })
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
        const { status } = await api.post(path, body, { apikey: api.token, 'content-type': type })
        statuses.add(status)
        expect([202, 400, 415, 422]).toContain(status)
      }),
      { numRuns: 1_000 },
    )
    expect([...statuses].sort()).toEqual([202, 400, 415, 422])
    // A thousand requests: seconds here, many on a machine that is busy.
  }, 60_000)
})
