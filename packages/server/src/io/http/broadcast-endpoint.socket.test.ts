import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ApiServer, batch, jwt, MESSAGE, NOW_MS, type Answer } from '../../../test/api-server.ts'

let api: ApiServer

beforeEach(async () => {
  api = new ApiServer()
  await api.open()
})

afterEach(() => api.close())

describe.each(['', '/realtime/v1'])('POST %s/api/broadcast', (base) => {
  const path = `${base}/api/broadcast`

  test('202 with nothing, and the message as it was', async () => {
    const answer = await api.post(path, `{"messages":[{"topic":"h1","event":"e","payload":{"n": 12345678901234567890}}]}`)
    expect(answer).toMatchObject({ status: 202, body: '' })
    expect(answer.headers.get('content-length')).toBe('0')
    expect(api.published).toHaveLength(1)
    expect(api.published[0]).toMatchObject({ subTopic: 'h1', event: 'e', private: false, form: 'text' })
    expect(Buffer.from(api.published[0]!.payload.bytes).toString()).toBe('{"n": 12345678901234567890}')
  })

  test('the answer says how many of this node received it, those of a batch together', async () => {
    api.outcome = ({ event }) => (event === 'denied' ? { kind: 'denied' } : { kind: 'accepted', receivers: 3 })
    const answer = await api.post(path, batch(MESSAGE, { ...MESSAGE, event: 'denied' }, MESSAGE))
    expect(answer.headers.get('tidewire-receivers')).toBe('6')
    expect((await api.post(path, batch(MESSAGE), {})).headers.get('tidewire-receivers')).toBeNull()
  })

  test('the answer waits until the message is written, of a batch until all are', async () => {
    let write = (): void => {}
    const written = new Promise<void>((resolve) => (write = resolve))
    api.outcome = ({ event }) => ({ kind: 'accepted', receivers: 1, ...(event === 'pending' ? { written } : {}) })
    let answered = false
    const answer = api.post(path, batch({ ...MESSAGE, event: 'pending' }, MESSAGE)).finally(() => (answered = true))
    await expect.poll(() => api.published.length).toBe(2)
    expect((await api.post(path, batch(MESSAGE))).status).toBe(202)
    expect(answered).toBe(false)
    write()
    expect((await answer).status).toBe(202)
  })

  test.each([
    ['persist', true],
    ['persist', 'true'],
    ['ttl', 60],
  ])('%s: %j is refused by name, as it would not be done', async (name, value) => {
    expect(await api.post(path, batch(MESSAGE, { ...MESSAGE, [name]: value }))).toMatchObject({
      status: 422,
      body: `{"errors":{"messages":[{},{"${name}":["is not supported"]}]}}`,
    })
    expect(api.published).toEqual([])
    expect((await api.post(path, batch({ ...MESSAGE, [name]: false }, { ...MESSAGE, [name]: null }))).status).toBe(202)
  })

  test('several messages arrive in their order', async () => {
    expect((await api.post(path, batch(...[1, 2, 3].map((a) => ({ ...MESSAGE, event: `e${a}` }))))).status).toBe(202)
    expect(api.published.map(({ event }) => event)).toEqual(['e1', 'e2', 'e3'])
  })

  test('the identity is of the bearer token where both are given, and knows all headers', async () => {
    const bearer = await jwt({ role: 'authenticated', sub: 'me', exp: NOW_MS / 1000 + 60 })
    await api.post(path, batch({ ...MESSAGE, private: true, id: 'my-id' }), {
      apikey: api.token,
      authorization: `Bearer ${bearer}`,
      'X-Tenant': 'a',
    })
    expect(api.published[0]).toMatchObject({
      private: true,
      id: 'my-id',
      identity: { role: 'authenticated', claims: { sub: 'me' }, headers: { 'x-tenant': 'a', 'content-type': 'application/json' } },
    })
  })

  test('a private message that is denied is dropped and observed, the others go on, the answer is 202', async () => {
    api.outcome = ({ private: isPrivate }) => (isPrivate ? { kind: 'denied' } : { kind: 'accepted', receivers: 0 })
    const answer = await api.post(path, batch(MESSAGE, { ...MESSAGE, private: true }, MESSAGE))
    expect(answer.status).toBe(202)
    expect(api.published).toHaveLength(3)
    expect(api.decisions).toEqual([
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
    const answer = await api.post(path, batch(MESSAGE), headers)
    expect(answer).toMatchObject({ status: 401, body: '{"message":"Unauthorized"}' })
    expect(answer.headers.get('x-rate-limit')).toBe('100')
    expect(api.decisions).toMatchObject([{ kind: 'http-refused', code }])
    expect(api.published).toEqual([])
  })

  test('expired, forged and incomplete tokens: 401, and the observer gets nothing of them', async () => {
    const tokens = [
      await jwt({ role: 'anon', exp: NOW_MS / 1000 }),
      await jwt({ role: 'anon', exp: NOW_MS / 1000 + 60 }, 'another secret'),
      await jwt({ exp: NOW_MS / 1000 + 60 }),
    ]
    for (const apikey of tokens) expect((await api.post(path, batch(MESSAGE), { apikey })).status).toBe(401)
    expect(api.decisions.map(({ code }) => code)).toEqual(['token-expired', 'token-signature', 'token-incomplete'])
    for (const apikey of tokens) expect(JSON.stringify(api.decisions)).not.toContain(apikey.split('.')[1])
  })

  test('an opaque key as bearer leaves the apikey to decide', async () => {
    expect((await api.post(path, batch(MESSAGE), { authorization: 'Bearer sb_secret_x', apikey: api.token })).status).toBe(202)
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
    expect(await api.post(path, body)).toMatchObject({ status: 422, body: expected })
    expect(api.published).toEqual([])
  })

  test('a payload over the limit: 422', async () => {
    await api.open({ maxPayloadBytes: 100 })
    const answer = await api.post(path, batch({ ...MESSAGE, payload: { d: 'x'.repeat(100) } }))
    expect(answer).toMatchObject({ status: 422, body: '{"errors":{"messages":[{"payload":["Payload size exceeds tenant limit"]}]}}' })
  })

  test('broken JSON: 400', async () => {
    expect(await api.post(path, '{"messages":')).toMatchObject({ status: 400, body: 'Bad Request' })
  })

  test('another type: 422, as if there were no body', async () => {
    const answer = await api.post(path, batch(MESSAGE), { apikey: api.token, 'content-type': 'text/plain' })
    expect(answer).toMatchObject({ status: 422, body: '{"errors":{"messages":["can\'t be blank"]}}' })
  })

  test('more messages than the limit: 429, and none is sent', async () => {
    const answer = await api.post(path, batch(...Array.from({ length: 101 }, () => MESSAGE)))
    expect(answer).toMatchObject({ status: 429, body: '{"message":"Too many messages to broadcast, please reduce the batch size"}' })
    expect(answer.headers.get('retry-after')).toBe('5')
    expect(api.published).toEqual([])
  })

  test('a batch that takes long gives the event loop back between its messages, and keeps their order', async () => {
    await api.open({ maxEventsPerSecond: Infinity })
    api.outcome = () => {
      api.uptime += 10
      return { kind: 'accepted', receivers: 1 }
    }
    const events = Array.from({ length: 50 }, (_, at) => `e${at}`)
    expect((await api.post(path, batch(...events.map((event) => ({ ...MESSAGE, event }))))).status).toBe(202)
    expect(api.published.map(({ event }) => event)).toEqual(events)
    expect(api.turns).toBe(49)
  })

  test('without limits a batch is bounded all the same', async () => {
    await api.open({ maxEventsPerSecond: Infinity })
    expect((await api.post(path, batch(...Array.from({ length: 10_001 }, () => ({}))))).status).toBe(429)
    const answer = await api.post(path, batch(MESSAGE))
    expect(answer.status).toBe(202)
    expect(answer.headers.has('x-rate-limit')).toBe(false)
  })

  test('an authorizer that cannot answer: 503 with its message', async () => {
    api.outcome = () => ({ kind: 'unavailable', message: 'Tenant database unavailable' })
    expect(await api.post(path, batch(MESSAGE))).toMatchObject({ status: 503, body: '{"message":"Tenant database unavailable"}' })
    expect(api.decisions).toMatchObject([{ kind: 'publish-refused', code: 'authorizer-unavailable' }])
  })

  test('limits of the server behind: 422 and 429', async () => {
    api.outcome = () => ({ kind: 'too-large' })
    expect((await api.post(path, batch(MESSAGE))).status).toBe(422)
    api.outcome = () => ({ kind: 'rate-limited' })
    expect(await api.post(path, batch(MESSAGE))).toMatchObject({ status: 429, body: '{"message":"You have exceeded your rate limit"}' })
  })

  test('a fault of ours: 500, reported to the observer, and the next request is served', async () => {
    api.outcome = () => {
      throw new Error('oops')
    }
    expect(await api.post(path, batch(MESSAGE))).toMatchObject({ status: 500, body: '{"message":"Internal Server Error"}' })
    expect(api.decisions).toMatchObject([{ kind: 'http-refused', code: 'internal-error', detail: 'oops' }])
    api.outcome = () => ({ kind: 'accepted', receivers: 0 })
    expect((await api.post(path, batch(MESSAGE))).status).toBe(202)
  })
})

describe.each(['', '/realtime/v1'])('POST %s/api/broadcast/:topic/events/:event', (base) => {
  const path = (topic: string, event: string, query = ''): string => `${base}/api/broadcast/${topic}/events/${event}${query}`

  test('JSON', async () => {
    expect(await api.post(path('h1', 'ev'), '{"a": 1.0}')).toMatchObject({ status: 202, body: '' })
    expect(api.published[0]).toMatchObject({ subTopic: 'h1', event: 'ev', private: false, form: 'user', payload: { encoding: 'json' } })
    expect(Buffer.from(api.published[0]!.payload.bytes).toString()).toBe('{"a": 1.0}')
  })

  test('bytes', async () => {
    const answer = await api.post(path('h1', 'ev'), new Uint8Array([1, 2, 0]), {
      apikey: api.token,
      'content-type': 'application/octet-stream',
    })
    expect(answer.status).toBe(202)
    expect(api.published[0]?.payload.encoding).toBe('binary')
    expect([...api.published[0]!.payload.bytes]).toEqual([1, 2, 0])
  })

  test('no Content-Type is JSON', async () => {
    const answer = await api.call(path('h1', 'ev'), {
      method: 'POST',
      headers: { apikey: api.token },
      body: new Uint8Array(Buffer.from('{"a":1}')),
    })
    expect(answer.status).toBe(202)
    expect(api.published[0]?.payload.encoding).toBe('json')
  })

  test('no body is an empty object', async () => {
    expect((await api.call(path('h1', 'ev'), { method: 'POST', headers: { apikey: api.token } })).status).toBe(202)
    expect(Buffer.from(api.published[0]!.payload.bytes).toString()).toBe('{}')
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
    expect((await api.post(path(encoded, encoded), {})).status).toBe(202)
    expect(api.published[0]).toMatchObject({ subTopic: topic, event: topic })
  })

  test.each([
    ['?private=true', true],
    ['?private=false', false],
    ['?private=banana', false],
    ['', false],
  ])('%s', async (query, isPrivate) => {
    await api.post(path('h1', 'ev', query), {})
    expect(api.published[0]?.private).toBe(isPrivate)
  })

  test('the answer says how many of this node received it', async () => {
    api.outcome = () => ({ kind: 'accepted', receivers: 2 })
    expect((await api.post(path('h1', 'ev'), {})).headers.get('tidewire-receivers')).toBe('2')
  })

  test('an option that would not be done is refused by name', async () => {
    expect(await api.post(path('h1', 'ev', '?persist=true&ttl=5'), {})).toMatchObject({
      status: 422,
      body: '{"errors":{"persist":["is not supported"],"ttl":["is not supported"]}}',
    })
    expect((await api.post(path('h1', 'ev', '?persist=false'), {})).status).toBe(202)
  })

  test('denied: 403', async () => {
    api.outcome = () => ({ kind: 'denied', detail: 'no INSERT policy' })
    expect(await api.post(path('room', 'ev', '?private=true'), {})).toMatchObject({ status: 403, body: '{"message":"Unauthorized"}' })
    expect(api.decisions).toMatchObject([
      {
        kind: 'publish-refused',
        code: 'unauthorized',
        topic: 'realtime:room',
        detail: 'role "anon" may not send to this topic (no INSERT policy)',
      },
    ])
  })

  test('no token: 401', async () => {
    expect(await api.post(path('h1', 'ev'), {}, {})).toMatchObject({ status: 401, body: '{"message":"Unauthorized"}' })
  })

  test('another type: 415', async () => {
    expect(await api.post(path('h1', 'ev'), 'hi', { apikey: api.token, 'content-type': 'text/plain' })).toMatchObject({
      status: 415,
      body: '{"error":"Unsupported Media Type. Use application/json or application/octet-stream"}',
    })
  })

  test('broken JSON: 400', async () => {
    expect(await api.post(path('h1', 'ev'), '{')).toMatchObject({ status: 400, body: 'Bad Request' })
  })

  test('names that no frame can carry: 422', async () => {
    expect(await api.post(path('x'.repeat(300), '%20'), {})).toMatchObject({
      status: 422,
      body: '{"errors":{"event":["can\'t be blank"],"topic":["is over 255 bytes"]}}',
    })
  })

  test('what the server behind says', async () => {
    api.outcome = () => ({ kind: 'too-large' })
    expect(await api.post(path('h1', 'ev'), {})).toMatchObject({
      status: 422,
      body: '{"errors":{"payload":["Payload size exceeds tenant limit"]}}',
    })
    api.outcome = () => ({ kind: 'rate-limited' })
    expect(await api.post(path('h1', 'ev'), {})).toMatchObject({ status: 429, body: '{"message":"You have exceeded your rate limit"}' })
    api.outcome = () => ({ kind: 'unavailable', message: 'no' })
    expect(await api.post(path('h1', 'ev'), {})).toMatchObject({ status: 503, body: '{"message":"no"}' })
  })
})

describe('rates', () => {
  test('the headers say the average of requests, and the limit is for requests too', async () => {
    await api.open({ maxEventsPerSecond: 4 })
    let last: Answer | undefined
    for (let i = 0; i < 19; i++) last = await api.post('/api/broadcast', batch({ ...MESSAGE, topic: '' }))
    expect(last?.status).toBe(422)
    expect(last?.headers.get('x-rate-limit')).toBe('4')
    expect(last?.headers.get('x-rate-rolling')).toBe('4')
    expect(last?.headers.get('x-rate-limit-remaining')).toBe('0')
    expect(await api.post('/api/broadcast', batch(MESSAGE))).toMatchObject({ status: 429, body: '{"message":"Too many requests"}' })
    api.uptime += 60_000
    expect((await api.post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
  })

  test('messages are counted too, and clear with time', async () => {
    await api.open({ maxEventsPerSecond: 10 })
    for (let i = 0; i < 5; i++)
      expect((await api.post('/api/broadcast', batch(...Array.from({ length: 8 }, () => MESSAGE)))).status).toBe(i < 2 ? 202 : 429)
    expect((await api.post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
    api.uptime += 60_000
    expect((await api.post('/api/broadcast', batch(...Array.from({ length: 8 }, () => MESSAGE)))).status).toBe(202)
  })

  test('callers without a good token do not use it up', async () => {
    await api.open({ maxEventsPerSecond: 1 })
    for (let i = 0; i < 20; i++) expect((await api.post('/api/broadcast', batch(MESSAGE), { apikey: 'bad' })).status).toBe(401)
    expect((await api.post('/api/broadcast', batch(MESSAGE))).status).toBe(202)
  })
})
