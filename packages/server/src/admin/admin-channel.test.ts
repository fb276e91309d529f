import {
  ADMIN_ROLE,
  ADMIN_TOPIC,
  type AdminConnection,
  type AdminLog,
  type AdminState,
  type AdminTick,
  type WhyAnswer,
} from '@tidewire/protocol'
import { NodeInProcess, openToken, openVerifier, type SocketInProcess } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { noLimits } from '../limits/limits.ts'
import type { AdminPorts, Explainer, TokenVerifier } from '../ports.ts'

/** Admin keys begin with `admin:`; nothing else is signed with the admin secret. */
const adminVerifier: TokenVerifier = {
  verify: (token) =>
    token.startsWith('admin:') ? openVerifier.verify(token.slice(6)) : Promise.resolve({ ok: false, fault: { code: 'signature' } }),
}
const admin: AdminPorts = { verifier: adminVerifier, version: '1.2.3' }
const KEY = `admin:${openToken({ role: ADMIN_ROLE })}`

function keyed(claims: Readonly<Record<string, unknown>>, expSeconds?: number): string {
  return `admin:${openToken({ role: ADMIN_ROLE, ...claims }, expSeconds)}`
}

async function ask(
  node: NodeInProcess,
  socket: SocketInProcess,
  event: string,
  payload: unknown,
): Promise<{ status: string; response: unknown }> {
  const ref = String(Math.random())
  socket.send({ topic: ADMIN_TOPIC, event, ref, joinRef: 'j', payload })
  await node.settle()
  const reply = socket.received.find((message) => message.ref === ref)
  return reply!.payload as { status: string; response: unknown }
}

function enter(node: NodeInProcess, socket: SocketInProcess, token: string | null = KEY): Promise<{ status: string; response: unknown }> {
  return ask(node, socket, 'phx_join', token === null ? {} : { access_token: token })
}

function received<Payload>(socket: SocketInProcess, event: string): Payload[] {
  return socket.received.filter((message) => message.event === event).map(({ payload }) => payload as Payload)
}

const push = (socket: SocketInProcess, payload: unknown = 1, topic = 'realtime:room'): void =>
  socket.send({ topic, event: 'broadcast', payload: { type: 'broadcast', event: 'e', payload } })

describe('admission', () => {
  test.each(['1.0.0', '2.0.0'] as const)('with an admin key: is welcomed and gets the state (%s)', async (version) => {
    const node = new NodeInProcess({}, { admin })
    await node.connect('2.0.0', openToken({ sub: 'u1' })).join('realtime:room')
    const socket = node.connect(version)
    expect(await enter(node, socket)).toEqual({
      status: 'ok',
      response: { node: null, version: '1.2.3', startedAt: node.runtime.now(), sql: false, database: false },
    })
    const [state] = received<AdminState>(socket, 'admin_state')
    expect(state).toMatchObject({
      topics: [{ topic: 'room', private: false, members: 1 }],
      connections: [
        { id: '1', role: 'anon', claims: { sub: 'u1' }, channels: [{ topic: 'room', private: false, role: 'anon' }] },
        { id: '2', vsn: version },
      ],
      moreTopics: 0,
      moreConnections: 0,
    })
    expect(node.decisions).toEqual([])
  })

  test.each([
    ['without a key', '', 'AdminKeyMissing', 'admin-key-missing', false],
    ["with a client's key", openToken(), 'AdminKeyInvalid', 'admin-key-invalid', false],
    ['with the service key', openToken({ role: 'service_role' }), 'AdminKeyInvalid', 'admin-key-invalid', false],
    ['with something else', 'bad', 'AdminKeyInvalid', 'admin-key-invalid', false],
    ['with an expired key', keyed({}, 1_700_000_000), 'AdminKeyExpired', 'admin-key-expired', false],
    ['with another role', keyed({ role: 'anon' }), 'AdminKeyRole', 'admin-key-role', false],
    ['without an expiry', keyed({ exp: undefined }), 'AdminKeyClaims', 'admin-key-claims', false],
    ['from another origin', KEY, 'ForeignOrigin', 'admin-origin', true],
  ])('%s: is refused and learns nothing', async (_, token, code, decision, foreignOrigin) => {
    for (const version of ['1.0.0', '2.0.0'] as const) {
      const node = new NodeInProcess({}, { admin })
      const socket = node.connect(version, openToken(), foreignOrigin)
      const reply = await enter(node, socket, token)
      expect(reply).toMatchObject({ status: 'error', response: { reason: expect.stringMatching(`^${code}: `) as string } })
      expect(node.decisions).toMatchObject([{ kind: 'join-refused', code: decision, connection: '1', topic: ADMIN_TOPIC }])
      for (const event of ['admin_why', 'admin_topic', 'admin_sql', 'admin_watch'])
        expect(await ask(node, socket, event, {})).toEqual({ status: 'error', response: { reason: 'unmatched topic' } })
      node.runtime.advance(2_000)
      expect(socket.received.filter(({ event }) => event.startsWith('admin_'))).toEqual([])
      expect(node.runtime.armedTimers).toBe(0)
      expect(JSON.stringify(node.decisions)).not.toContain('"exp"')
    }
  })

  test('on a socket that was opened with an admin key: which opens nothing else, also when the server is full', async () => {
    const node = new NodeInProcess(
      { limits: { ...noLimits, maxConnectedUsers: 1 } },
      {
        admin,
        verifier: {
          verify: (t) => (t.startsWith('admin:') ? Promise.resolve({ ok: false, fault: { code: 'signature' } }) : openVerifier.verify(t)),
        },
      },
    )
    await node.connect().join('realtime:room')
    expect(await node.server.admitConnection(openToken(), {})).toMatchObject({ ok: false, status: 429 })
    expect(await node.server.admitConnection(KEY, {})).toMatchObject({ ok: true, claims: { role: ADMIN_ROLE } })
    expect(await node.server.admitConnection(keyed({}, 1_700_000_000), {})).toMatchObject({ ok: false, status: 401 })
    const socket = node.connect('2.0.0', KEY)
    expect(await enter(node, socket, null)).toMatchObject({ status: 'ok' })
    expect(node.server.connections.users).toBe(1)
  })

  test('where there is no inspector the topic does not exist', async () => {
    const node = new NodeInProcess()
    expect(await enter(node, node.connect())).toEqual({ status: 'error', response: { reason: 'unmatched topic' } })
    expect(await node.server.admitConnection('bad', {})).toMatchObject({ ok: false, status: 401 })
  })

  test('a key that expires meanwhile ends it; a new one in time does not', async () => {
    const node = new NodeInProcess({}, { admin })
    const soon = Math.floor(node.runtime.now() / 1_000) + 5
    const [late, renewed] = [node.connect(), node.connect()]
    await enter(node, late, keyed({}, soon))
    await enter(node, renewed, keyed({}, soon))
    renewed.send({ topic: ADMIN_TOPIC, event: 'access_token', payload: { access_token: KEY } })
    await node.settle()
    node.runtime.advance(6_000)
    expect(received(late, 'system')).toMatchObject([{ status: 'error', message: expect.stringMatching('^AdminKeyExpired: ') as string }])
    expect(received(late, 'phx_close')).toHaveLength(1)
    expect(node.decisions).toMatchObject([{ kind: 'channel-closed', code: 'admin-key-expired', connection: '1' }])
    expect(received(renewed, 'system')).toEqual([])
    renewed.take()
    node.runtime.advance(500)
    expect(received(renewed, 'admin_tick')).toHaveLength(1)
    renewed.send({ topic: ADMIN_TOPIC, event: 'access_token', payload: { access_token: openToken() } })
    await node.settle()
    expect(received(renewed, 'system')).toMatchObject([{ message: expect.stringMatching('^AdminKeyInvalid: ') as string }])
  })
})

describe('what it gets', () => {
  test('twice a second: figures, and the connections that came, went and changed', async () => {
    const node = new NodeInProcess({}, { admin })
    const socket = node.connect()
    await enter(node, socket)
    const other = node.connect('1.0.0', openToken({ sub: 'u2' }))
    await other.join('realtime:room', { broadcast: { self: true } })
    for (let n = 0; n < 10; n++) push(other)
    await node.settle()
    node.runtime.advance(500)
    const [tick] = received<AdminTick>(socket, 'admin_tick')
    expect(tick).toMatchObject({ healthy: true, trouble: null, connections: 2, channels: 1, feed: null, insertToFrame: null })
    expect(tick!.receivedPerSecond).toBe(22)
    expect(tick!.deliveredPerSecond).toBe(20)
    expect(tick!.fanOut!.counts.reduce((sum, count) => sum + count)).toBe(10)
    expect(tick!.topics).toEqual([{ topic: 'room', private: false, members: 1 }])
    expect(tick!.connectionsChanged.find(({ id }) => id === '2')).toMatchObject({ claims: { sub: 'u2' }, received: 11, sent: 11 })
    socket.take()
    other.disconnect()
    node.runtime.advance(500)
    const [after] = received<AdminTick>(socket, 'admin_tick')
    expect(after).toMatchObject({ connections: 1, channels: 0, fanOut: null, topics: [{ topic: 'room', members: 0 }] })
    const gone = after!.connectionsChanged.find(({ id }) => id === '2') as AdminConnection
    expect(gone.closed).toMatchObject({ code: 1006 })
  })

  test('a log with payloads where it asked for them, and what was refused', async () => {
    const node = new NodeInProcess({}, { admin })
    const [first, second, client] = [node.connect(), node.connect(), node.connect()]
    await enter(node, first)
    await enter(node, second)
    expect(await ask(node, first, 'admin_watch', { payloads: true, match: '' })).toEqual({
      status: 'ok',
      response: { payloads: true, match: '' },
    })
    await client.join('realtime:room')
    push(client, { html: '<script>' })
    client.send({ topic: 'realtime:', event: 'phx_join', ref: '9', payload: {} })
    client.send({ topic: 'realtime:room', event: 'presence', payload: { event: 'track', payload: { a: 1 } } })
    node.runtime.advance(100)
    const rows = received<AdminLog>(first, 'admin_log').flatMap(({ rows: some }) => some)
    expect(rows.map(({ kind, event }) => [kind, event])).toEqual([
      ['join', undefined],
      ['broadcast', 'e'],
      ['decision', 'topic-name-required'],
      ['presence', 'track'],
    ])
    expect(rows[1]).toMatchObject({ connection: '3', topic: 'room', receivers: 0, payload: expect.stringContaining('<script>') as string })
    const plain = received<AdminLog>(second, 'admin_log').flatMap(({ rows: some }) => some)
    expect(plain.map(({ id }) => id)).toEqual(rows.map(({ id }) => id))
    expect(plain.every((row) => row.payload === undefined)).toBe(true)
  })

  test('whether what was refused was private or public', async () => {
    const node = new NodeInProcess({ limits: { ...noLimits, maxChannelsPerConnection: 1 } }, { admin })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    await client.join('realtime:room')
    const join = (topic: string, payload: unknown): void => client.send({ topic, event: 'phx_join', ref: '9', joinRef: '9', payload })
    join('realtime:secret', { config: { private: true } })
    join('realtime:open', { config: { private: false } })
    join('realtime:odd', { config: 5 })
    client.send({ topic: 'realtime:room', event: 'presence', ref: '10', payload: { event: 'jump' } })
    await node.settle()
    node.runtime.advance(100)
    const decisions = received<AdminLog>(socket, 'admin_log')
      .flatMap(({ rows }) => rows)
      .filter(({ kind }) => kind === 'decision')
    expect(decisions.map(({ topic, event, private: isPrivate }) => [topic, event, isPrivate])).toEqual([
      ['secret', 'too-many-channels', true],
      ['open', 'too-many-channels', false],
      ['odd', 'malformed-join', undefined],
      ['room', 'malformed-payload', false],
    ])
    const user = { connection: '2' }
    const { steps } = (await ask(node, socket, 'admin_why', { about: 'topic', user, topic: 'secret', private: false }))
      .response as WhyAnswer
    expect(steps.filter(({ check }) => check === 'decision')).toEqual([])
  })

  test('of a burst of messages the first ones, and how many more there were', async () => {
    const node = new NodeInProcess({}, { admin })
    const socket = node.connect()
    await enter(node, socket)
    await ask(node, socket, 'admin_watch', { payloads: true, match: '' })
    const transport = { write: () => {}, backlogBytes: () => 0, close: () => {}, terminate: () => {} }
    const client = node.server.accept({ version: '2.0.0', token: openToken(), headers: {} }, transport)
    client.receive(Buffer.from('[null,"1","realtime:room","phx_join",{}]'), false)
    await node.settle()
    node.runtime.advance(100)
    socket.take()
    const message = {
      subTopic: 'room',
      private: false,
      event: 'e',
      payload: { encoding: 'json', bytes: Buffer.from('{}') },
      form: 'user',
    } as const
    for (let n = 0; n < 100_000; n++) {
      node.server.publishTrusted(message)
      if (n % 10_000 === 0) node.runtime.endTurn()
    }
    node.runtime.endTurn()
    node.runtime.advance(500)
    const logs = received<AdminLog>(socket, 'admin_log')
    const rows = logs.flatMap((log) => log.rows).filter(({ kind }) => kind === 'broadcast')
    expect(rows.length).toBeLessThan(50)
    expect(rows.length + logs.reduce((sum, { skipped }) => sum + skipped, 0)).toBe(100_000)
    expect(received<AdminTick>(socket, 'admin_tick').reduce((sum, { deliveredPerSecond }) => sum + deliveredPerSecond / 2, 0)).toBe(100_000)
  })

  test('nothing while it does not read, and everything anew afterwards', async () => {
    const node = new NodeInProcess({}, { admin })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    socket.take()
    socket.backlog = 300 * 1024
    await client.join('realtime:room')
    for (let n = 0; n < 100; n++) push(client)
    node.runtime.advance(1_000)
    expect(socket.take()).toEqual([])
    socket.backlog = 0
    node.runtime.advance(500)
    expect(received<AdminState>(socket, 'admin_state')).toMatchObject([{ topics: [{ topic: 'room' }] }])
    expect(received<AdminLog>(socket, 'admin_log').reduce((sum, { rows, skipped }) => sum + rows.length + skipped, 0)).toBe(101)
  })

  test('nothing any more once it left, and then the server does nothing for it', async () => {
    const node = new NodeInProcess({}, { admin })
    const [socket, second] = [node.connect(), node.connect()]
    const idle = node.server.observer
    await enter(node, socket)
    await enter(node, second)
    expect(node.server.observer.fannedOut).toBeDefined()
    expect(await ask(node, socket, 'phx_leave', {})).toMatchObject({ status: 'ok' })
    second.disconnect()
    expect(node.server.observer.fannedOut).toBe(idle.fannedOut)
    expect(node.runtime.armedTimers).toBe(0)
    socket.take()
    node.runtime.advance(5_000)
    expect(socket.received).toEqual([])
  })
})

describe('what it may ask', () => {
  test('the members of a topic, and since when', async () => {
    const node = new NodeInProcess({}, { admin })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    await client.join('realtime:room', { presence: { key: 'k', enabled: true } })
    const since = node.runtime.now()
    client.send({ topic: 'realtime:room', event: 'presence', payload: { event: 'track', payload: { a: 1 } } })
    await node.settle()
    node.runtime.advance(40)
    client.send({ topic: 'realtime:room', event: 'presence', payload: { event: 'track', payload: { a: 2 } } })
    await node.settle()
    expect(await ask(node, socket, 'admin_topic', { topic: 'room', private: false })).toMatchObject({
      status: 'ok',
      response: { members: 1, connections: ['2'], presences: [{ key: 'k', metas: [{ a: 2 }], since: [since] }] },
    })
    expect(await ask(node, socket, 'admin_topic', { topic: 'room', private: true })).toMatchObject({ response: { members: 0 } })
  })

  test.each([
    ['admin_topic', { topic: 1, private: false }],
    ['admin_watch', { payloads: 'yes' }],
    ['admin_why', { about: 'topic', topic: 'a', private: true }],
    ['admin_why', { about: 'rows', user: { connection: '1' } }],
    ['admin_why', { about: 'change', user: { role: 'anon', claims: {} }, schema: 'public', table: 't', key: { id: 1 } }],
    ['admin_table', { schema: 'public', table: 5 }],
    ['admin_sql', { sql: 5 }],
    ['admin_topic', null],
  ])('%s that makes no sense is answered: %j', async (event, payload) => {
    const node = new NodeInProcess({}, { admin })
    const socket = node.connect()
    await enter(node, socket)
    expect(await ask(node, socket, event, payload)).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching('^MalformedRequest: ') as string },
    })
    expect(await ask(node, socket, 'admin_everything', {})).toMatchObject({
      response: { reason: expect.stringMatching('^UnknownRequest') as string },
    })
    expect(await ask(node, socket, 'admin_sql', { sql: 'select 1' })).toMatchObject({
      response: { reason: expect.stringMatching('^SqlOff') as string },
    })
  })

  test('not everything at once', async () => {
    const answers: ((result: { ok: false; reason: string }) => void)[] = []
    const sql = { run: () => new Promise<{ ok: false; reason: string }>((resolve) => answers.push(resolve)) }
    const node = new NodeInProcess({}, { admin: { ...admin, sql } })
    const socket = node.connect()
    expect(await enter(node, socket)).toMatchObject({ response: { sql: true } })
    for (let n = 0; n < 6; n++) socket.send({ topic: ADMIN_TOPIC, event: 'admin_sql', ref: `q${n}`, payload: { sql: 'select 1' } })
    await node.settle()
    expect(answers).toHaveLength(4)
    for (const answer of answers) answer({ ok: false, reason: 'Refused: no' })
    await node.settle()
    const replies = socket.received.filter(({ ref }) => typeof ref === 'string' && ref.startsWith('q'))
    expect(replies.map(({ payload }) => (payload as { response: { reason: string } }).response.reason.split(':')[0])).toEqual([
      'TooManyQuestions',
      'TooManyQuestions',
      'Refused',
      'Refused',
      'Refused',
      'Refused',
    ])
  })
})

describe('why', () => {
  test("a client's pattern of many wildcards takes no time (rule D3)", async () => {
    const node = new NodeInProcess({}, { admin })
    const client = node.connect()
    await client.join('realtime:room', { postgres_changes: [{ event: '*', schema: 'public', table: `${'%'.repeat(100)}Z` }] })
    const socket = node.connect()
    await enter(node, socket)
    const question = { about: 'change', user: { connection: '1' }, schema: 'public', table: 'a_'.repeat(100), key: {} }
    const at = performance.now()
    expect(await ask(node, socket, 'admin_why', question)).toMatchObject({ status: 'ok' })
    expect(performance.now() - at).toBeLessThan(1_000)
  })

  const explainer: Explainer = {
    topic: ({ subTopic, identity }) =>
      Promise.resolve([{ check: 'policy', outcome: subTopic === 'open' ? 'yes' : 'no', text: `Policies say so to ${identity.role}.` }]),
    table: (schema, table) =>
      Promise.resolve({ ok: true, answer: { primaryKey: [{ name: `key of ${schema}.${table}`, type: 'integer' }] } }),
    change: ({ filters }) => Promise.resolve([{ check: 'filter', outcome: filters[0] === 'id=eq.1' ? 'yes' : 'no', text: filters.join() }]),
  }

  async function answer(node: NodeInProcess, socket: SocketInProcess, question: unknown): Promise<WhyAnswer> {
    const reply = await ask(node, socket, 'admin_why', question)
    expect(reply.status).toBe('ok')
    return reply.response as WhyAnswer
  }

  test('a private topic without a database, a public one, and one that was not joined', async () => {
    const node = new NodeInProcess({}, { admin })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    await client.join('realtime:room')
    const user = { connection: '2' }
    expect(await answer(node, socket, { about: 'topic', user, topic: 'room', private: false })).toMatchObject({ allowed: true })
    const denied = await answer(node, socket, { about: 'topic', user, topic: 'room', private: true })
    expect(denied).toMatchObject({ allowed: false, verdict: expect.stringContaining('without a database') as string })
    const elsewhere = await answer(node, socket, { about: 'topic', user, topic: 'other', private: false })
    expect(elsewhere.steps.find(({ outcome }) => outcome === 'no')).toMatchObject({ check: 'subscription' })
    expect(await ask(node, socket, 'admin_why', { about: 'topic', user: { connection: '99' }, topic: 'x', private: false })).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching('^UnknownConnection') as string },
    })
  })

  test('a limit that closed the channel', async () => {
    const node = new NodeInProcess({ limits: { ...noLimits, maxPresenceCallsPerWindow: 1 } }, { admin })
    const client = node.connect()
    await client.join('realtime:room')
    for (let n = 0; n < 3; n++) client.send({ topic: 'realtime:room', event: 'presence', payload: { event: 'track', payload: { n } } })
    await node.settle()
    const decidedAt = node.runtime.now()
    node.runtime.advance(12_345)
    const socket = node.connect()
    await enter(node, socket)
    const { allowed, verdict, steps } = await answer(node, socket, {
      about: 'topic',
      user: { connection: '1' },
      topic: 'room',
      private: false,
    })
    expect(allowed).toBe(false)
    expect(verdict).toContain('Client presence rate limit exceeded')
    expect(steps.filter(({ outcome }) => outcome === 'no')[0]).toMatchObject({ check: 'limit' })
    expect(steps.find(({ check }) => check === 'decision')!.text).toContain('too-many-presence-calls')
    expect(steps.map(({ check, at }) => [check, at])).toEqual(
      expect.arrayContaining([
        ['limit', decidedAt],
        ['decision', decidedAt],
      ]),
    )
  })

  test('policies are asked about the identity of the channel', async () => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const socket = node.connect()
    await enter(node, socket)
    const asRole = { about: 'topic', user: { role: 'authenticated', claims: { sub: 'u' } }, private: true }
    expect(await answer(node, socket, { ...asRole, topic: 'open' })).toMatchObject({ allowed: true })
    expect((await answer(node, socket, { ...asRole, topic: 'closed' })).verdict).toContain('Policies say so to authenticated.')
  })

  test.each([
    [1_700_000_000, 'no', 1_700_000_000_000],
    [1_900_000_000.5, 'yes', 1_900_000_000_500],
    [1e300, 'yes', 8.64e15],
    [-1e300, 'no', -8.64e15],
    [undefined, 'yes', undefined],
    ['soon', 'yes', undefined],
  ] as const)('a token says when it expires: %s', async (exp, outcome, at) => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const socket = node.connect()
    await enter(node, socket)
    const user = { role: 'authenticated', claims: { exp } }
    const { steps } = await answer(node, socket, { about: 'topic', user, topic: 'open', private: true })
    expect(steps[0]).toMatchObject({ check: 'token', outcome })
    expect(steps[0]!.at).toBe(at)
  })

  test('the key of a table, for a question about one of its rows', async () => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const socket = node.connect()
    await enter(node, socket)
    expect(await ask(node, socket, 'admin_table', { schema: 'public', table: 'todos' })).toEqual({
      status: 'ok',
      response: { primaryKey: [{ name: 'key of public.todos', type: 'integer' }] },
    })
    const without = new NodeInProcess({}, { admin })
    const other = without.connect()
    await enter(without, other)
    expect(await ask(without, other, 'admin_table', { schema: 'public', table: 'todos' })).toMatchObject({
      status: 'error',
      response: { reason: expect.stringMatching('^NoDatabase: ') as string },
    })
  })

  test('a change is tested with the filters of the connection, and not with those of others', async () => {
    const node = new NodeInProcess({}, { admin: { ...admin, explainer } })
    const [socket, client] = [node.connect(), node.connect()]
    await enter(node, socket)
    const postgres_changes = [{ event: '*', schema: 'public', table: 'todos', filter: 'id=eq.1' }]
    await client.join('realtime:todos', { postgres_changes })
    const question = { about: 'change', user: { connection: '2' }, schema: 'public', table: 'todos', key: { id: '1' } }
    expect(await answer(node, socket, question)).toMatchObject({ allowed: true })
    expect((await answer(node, socket, { ...question, filter: 'id=eq.2' })).verdict).toContain('id=eq.2')
    const other = await answer(node, socket, { ...question, table: 'others' })
    expect(other.verdict).toContain('asked for changes of public.others')
    expect(other.steps.find(({ outcome }) => outcome === 'no')).toMatchObject({ check: 'subscription' })
  })
})
