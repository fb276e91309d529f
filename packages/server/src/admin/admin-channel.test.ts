import {
  ADMIN_ROLE,
  ADMIN_TOPIC,
  type AdminConnection,
  type AdminLog,
  type AdminState,
  type AdminTick,
  type WhyAnswer,
} from '@tidewire/protocol'
import { NodeInProcess, openToken, openVerifier } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { noLimits } from '../limits/limits.ts'
import { admin, KEY, keyed, ask, enter, received, push } from '../../test/inspector-steps.ts'

describe('an inspector comes in', () => {
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

describe('an inspector gets', () => {
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

  test('nothing while it does not read, and everything again afterwards', async () => {
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
