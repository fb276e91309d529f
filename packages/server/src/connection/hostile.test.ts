import { ADMIN_ROLE, ADMIN_TOPIC, type Message } from '@tidewire/protocol'
import { NodeInProcess, openToken, openVerifier, type SocketInProcess } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { noLimits } from '../limits/limits.ts'
import type { Authorizer, TokenVerifier, Tracer } from '../ports.ts'

const room = 'realtime:room'
const replyTo = (socket: SocketInProcess, ref: string): unknown =>
  socket.received.find((message) => message.event === 'phx_reply' && message.ref === ref)?.payload

const allowed = { ok: true, broadcast: true, presence: true } as const
const readOnly: Authorizer = {
  read: () => Promise.resolve(allowed),
  write: () => Promise.resolve({ ok: true, broadcast: false, presence: false }),
}
const adminVerifier: TokenVerifier = {
  verify: (token) =>
    token.startsWith('admin:') ? openVerifier.verify(token.slice(6)) : Promise.resolve({ ok: false, fault: { code: 'signature' } }),
}

describe('tokens count as joins (rules A3, L3)', () => {
  const renew = (socket: SocketInProcess, token: string): void =>
    socket.send({ topic: room, event: 'access_token', joinRef: '1', payload: { access_token: token } })

  test('a flood of them ends the socket; the token at hand counts for nothing', async () => {
    // Ten joins within the first five seconds: the upgrade's is not one of them.
    const node = new NodeInProcess({ limits: { ...noLimits, maxJoinsPerSecond: 2 } })
    const socket = node.connect()
    await socket.join(room)
    for (let n = 0; n < 50; n++) renew(socket, openToken())
    for (let n = 0; n < 8; n++) renew(socket, openToken({ n }))
    await node.settle()
    expect(socket.closed).toBeNull()
    renew(socket, openToken({ n: 9 }))
    expect(socket.closed).toEqual({ code: 1001, reason: 'Too many joins per second' })
    expect(node.decisions).toMatchObject([{ kind: 'push-refused', code: 'too-many-joins' }, { code: 'close-1001' }])
  })

  test('and so do joins of the admin channel, and its keys (rule I2)', async () => {
    const limits = { ...noLimits, maxJoinsPerSecond: 2 }
    const node = new NodeInProcess({ limits }, { admin: { verifier: adminVerifier, version: '1' } })
    const [guessing, renewing] = [node.connect(), node.connect()]
    const send = (socket: SocketInProcess, event: string, key: string): void =>
      socket.send({ topic: ADMIN_TOPIC, event, ref: 'r', joinRef: 'j', payload: { access_token: key } })
    for (let n = 0; n < 9; n++) send(guessing, 'phx_join', `wrong ${n}`)
    const key = `admin:${openToken({ role: ADMIN_ROLE })}`
    send(renewing, 'phx_join', key)
    await node.settle()
    for (let n = 0; n < 8; n++) send(renewing, 'access_token', key)
    await node.settle()
    expect([guessing.closed, renewing.closed]).toEqual([null, null])
    send(guessing, 'phx_join', 'wrong')
    send(renewing, 'access_token', key)
    expect([guessing.closed, renewing.closed]).toMatchObject([{ code: 1001 }, { code: 1001 }])
  })

  test('joins that cannot be read count as well', async () => {
    const node = new NodeInProcess({ limits: { ...noLimits, maxJoinsPerSecond: 2 } })
    const socket = node.connect()
    for (let n = 0; n < 9; n++) socket.send({ topic: room, event: 'phx_join', ref: '1', payload: 'nothing' })
    expect(socket.closed).toBeNull()
    socket.send({ topic: room, event: 'phx_join', ref: '1', payload: 'nothing' })
    expect(socket.closed).toMatchObject({ code: 1001 })
  })
})

describe('frames that are for no channel, or do nothing there (rule L15)', () => {
  const message = 'TooManyFrames: Too many frames per second that are for no channel'
  // 100 a second: the 500th within the first five seconds is one too many.
  const MOST = 499
  const admin = { admin: { verifier: adminVerifier, version: '1' } }
  const kinds: Readonly<Record<string, Partial<Message> & { readonly topic: string; readonly event: string }>> = {
    heartbeats: { topic: 'phoenix', event: 'heartbeat', ref: 'h' },
    'broadcasts on a topic that is not joined': { topic: 'realtime:other', event: 'broadcast' },
    'leaves of a topic that is not joined': { topic: 'realtime:other', event: 'phx_leave', ref: 'l' },
    'joins of no topic': { topic: 'other', event: 'phx_join', ref: 'j' },
    'questions of no inspector': { topic: ADMIN_TOPIC, event: 'admin_nodes', ref: 'q' },
    'tokens that are at hand': { topic: room, event: 'access_token', payload: { access_token: openToken() } },
    'tokens that are none': { topic: room, event: 'access_token', payload: {} },
    'leaves of an older join': { topic: room, event: 'phx_leave', joinRef: 'older' },
  }

  test.each(Object.entries(kinds))(
    '%s: one below, at, and above the bound; the client gets one message and is closed',
    async (_, frame) => {
      const node = new NodeInProcess({ limits: { ...noLimits, maxEventsPerSecond: 10 } }, admin)
      const socket = node.connect()
      await socket.join(room)
      for (let n = 0; n < MOST; n++) socket.send(frame)
      expect([socket.closed, node.decisions]).toEqual([null, []])
      socket.take()
      for (let n = 0; n < 900; n++) socket.send(frame)
      expect(socket.closed).toEqual({ code: 1008, reason: 'Too many frames per second' })
      expect(node.decisions.map(({ code }) => code)).toEqual(['too-many-idle-frames', 'close-1008'])
      const notice = { topic: 'phoenix', event: 'system', ref: null, payload: { message, status: 'error', extension: 'system' } }
      expect(socket.take().filter(({ event }) => event !== 'phx_close')).toMatchObject([notice])
      expect(socket.terminated).toBe(false)
      for (let n = 0; n < 200; n++) socket.send(frame)
      expect(socket.terminated).toBe(true)
    },
  )

  test('the bound is that of events where that is higher, and none where there is none', async () => {
    const [high, open] = [new NodeInProcess({ limits: { ...noLimits, maxEventsPerSecond: 200 } }), new NodeInProcess()].map((node) =>
      node.connect(),
    ) as [SocketInProcess, SocketInProcess]
    for (let n = 0; n < 999; n++) for (const socket of [high, open]) socket.send(kinds['heartbeats']!)
    expect(high.closed).toBeNull()
    for (const socket of [high, open]) socket.send(kinds['heartbeats']!)
    expect([high.closed?.code, open.closed]).toEqual([1008, null])
  })

  test('a heartbeat every 25 s and what a busy channel sends do not come near it', async () => {
    const node = new NodeInProcess({ limits: { ...noLimits, maxEventsPerSecond: 100 } })
    const socket = node.connect()
    await socket.join(room)
    for (let second = 0; second < 600; second++) {
      for (let n = 0; n < 90; n++) socket.send({ topic: room, event: 'broadcast', joinRef: '1', payload: { type: 'broadcast' } })
      if (second % 25 === 0) socket.send(kinds['heartbeats']!)
      node.runtime.advance(1_000)
    }
    expect([socket.closed, node.decisions]).toEqual([null, []])
  })
})

test.each([
  [99, true],
  [100, true],
  [101, false],
])('a join of %i entries is answered in the turn in which it comes: %s', async (count, atOnce) => {
  const node = new NodeInProcess()
  const socket = node.connect()
  const entries = Array.from({ length: count }, (_, n) => ({ event: '*', schema: 'public', table: `t${n}` }))
  const join = (ref: string): void =>
    socket.send({ topic: room, event: 'phx_join', ref, joinRef: ref, payload: { config: { postgres_changes: entries } } })
  join('1')
  // It waits for the join.
  socket.send({ topic: room, event: 'phx_leave', ref: '2', joinRef: '1' })
  // Promises settle; the turn of the node does not end.
  await new Promise((resolve) => setImmediate(resolve))
  expect(replyTo(socket, '1') !== undefined).toBe(atOnce)
  await node.settle()
  expect([replyTo(socket, '1'), replyTo(socket, '2')]).toMatchObject([{ status: 'ok' }, { status: 'ok' }])
  // One whose socket is gone before its turn is not joined.
  join('3')
  socket.disconnect()
  await node.settle()
  expect(node.server.topics.size).toBe(0)
})

describe('a sender is notified once', () => {
  test('what is refused without a ref, by kind; what has one is answered each time (rule X2)', async () => {
    const node = new NodeInProcess({}, { authorizer: readOnly })
    const socket = node.connect()
    await socket.join(room, { private: true })
    socket.take()
    const push = (ref: string | null, payload: unknown = {}): void =>
      socket.send({ topic: room, event: 'broadcast', ref, joinRef: '1', payload })
    push(null)
    await node.settle()
    for (let n = 0; n < 1_000; n++) push(null)
    for (let n = 0; n < 3; n++) push(`${n}`)
    const got = socket.take()
    expect(got.filter(({ event }) => event === 'system')).toHaveLength(1)
    expect(got.filter(({ event }) => event === 'phx_reply')).toHaveLength(3)
    expect(node.decisions.filter(({ code }) => code === 'unauthorized')).toHaveLength(1_004)
  })
})

describe('what is tracked', () => {
  test('holds so many keys and elements: one below, at it, one above (rules L10, P9)', async () => {
    const node = new NodeInProcess({ limits: { ...noLimits, maxPresenceValues: 50 } })
    const socket = node.connect()
    await socket.join(room, { presence: { enabled: true } })
    const track = (values: number): unknown => {
      const ref = `t${values}`
      // `type`, `event`, `payload` and the list count too.
      const payload = { type: 'presence', event: 'track', payload: { list: Array.from({ length: values - 4 }, () => 1) } }
      socket.send({ topic: room, event: 'presence', ref, joinRef: '1', payload })
      return replyTo(socket, ref)
    }
    expect([track(49), track(50)]).toMatchObject([{ status: 'ok' }, { status: 'ok' }])
    expect(track(51)).toEqual({
      status: 'error',
      response: { reason: 'MalformedPayload: the payload holds more than 50 keys and elements' },
    })
    expect(node.decisions).toMatchObject([{ kind: 'frame-refused', code: 'too-many-values' }])
    expect(track(49)).toMatchObject({ status: 'ok' })
  })
})

describe('what is tracked in a topic', () => {
  test.each(['1.0.0', '2.0.0'] as const)(
    'takes so many bytes together, and a join is sent all of it (rules L14, P3, P9), %s',
    async (version) => {
      const node = new NodeInProcess({ limits: { ...noLimits, maxPresenceBytes: 1_000 } })
      const [a, b] = [node.connect(), node.connect()]
      for (const [key, socket] of [
        ['a', a],
        ['b', b],
      ] as const)
        await socket.join(room, { presence: { enabled: true, key } })
      const track = (socket: typeof a, ref: string, bytes: number): unknown => {
        const payload = { type: 'presence', event: 'track', payload: { text: '' } }
        payload.payload.text = 'x'.repeat(bytes - JSON.stringify(payload).length)
        socket.send({ topic: room, event: 'presence', ref, joinRef: '1', payload })
        return replyTo(socket, ref)
      }
      expect(track(a, '1', 600)).toMatchObject({ status: 'ok' })
      expect(track(b, '2', 401)).toEqual({
        status: 'error',
        response: { reason: 'PresenceFull: more than 1000 bytes would be tracked on this topic' },
      })
      expect(node.decisions).toMatchObject([{ kind: 'push-refused', code: 'presence-full' }])
      expect(track(b, '3', 400)).toMatchObject({ status: 'ok' })
      const c = node.connect(version)
      await c.join(room, { presence: { enabled: true, key: 'c' } })
      const state = c.take().find(({ event }) => event === 'presence_state')
      expect(state).toMatchObject({ ref: null, topic: room, payload: { a: { metas: [{}] }, b: { metas: [{}] } } })
    },
  )
})

describe('a large broadcast is forwarded without being parsed', () => {
  const large = { list: Array.from({ length: 10_000 }, (_, n) => n) }

  test('as it came, in both versions; what is no object is refused (rule X7)', async () => {
    const node = new NodeInProcess()
    const [sender, old] = [node.connect(), node.connect('1.0.0')]
    for (const socket of [sender, old]) await socket.join(room)
    const payload = { type: 'broadcast', event: 'e', payload: large }
    sender.send({ topic: room, event: 'broadcast', joinRef: '1', payload })
    expect(old.received.filter(({ event }) => event === 'broadcast')).toMatchObject([{ payload }] satisfies Partial<Message>[])
    sender.send({ topic: room, event: 'broadcast', ref: 'b', joinRef: '1', payload: large.list })
    expect(replyTo(sender, 'b')).toMatchObject({ status: 'error', response: { reason: expect.stringContaining('must be an object') } })
  })

  test('its trace is read all the same (rule B9)', async () => {
    const traces: (string | null)[] = []
    const tracer: Tracer = { broadcast: (_topic, traceparent) => (traces.push(traceparent), () => {}) }
    const node = new NodeInProcess({}, { tracer })
    const socket = node.connect()
    await socket.join(room)
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    for (const meta of [{ traceparent }, undefined, 'text', { traceparent, more: 'x'.repeat(2_000) }])
      socket.send({ topic: room, event: 'broadcast', joinRef: '1', payload: { type: 'broadcast', event: 'e', payload: large, meta } })
    expect(traces).toEqual([traceparent, null, null, null])
  })
})
