import { encodeClientMessage } from '@tidewire/protocol'
import { NodeInProcess, openToken, type SocketInProcess } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import type { Authorizer } from '../ports.ts'
import { room, reply, events, allow, say } from '../../test/channel-steps.ts'

describe('limits hit the connection that goes over them', () => {
  test('events', async () => {
    const node = new NodeInProcess({ limits: { maxEventsPerSecond: 10 } })
    const [loud, quiet] = [node.connect(), node.connect()]
    await loud.join(room)
    await quiet.join(room)
    loud.take()
    quiet.take()
    for (let n = 0; n < 60; n++) say(loud, n)
    await node.settle()
    expect(events(loud.take())).toEqual(['system', 'phx_close', ...Array<string>(10).fill('phx_reply')])
    expect(quiet.take()).toHaveLength(49)
    expect(quiet.closed).toBeNull()
  })

  test('a presence call that waited for its policies is counted once', async () => {
    const authorizer: Authorizer = { read: () => Promise.resolve(allow), write: () => Promise.resolve(allow) }
    const node = new NodeInProcess({ limits: { maxPresenceCallsPerWindow: 5 } }, { authorizer })
    const socket = node.connect()
    await socket.join(room, { private: true, presence: { enabled: true } })
    for (let n = 1; n <= 5; n++) {
      socket.send({
        topic: room,
        event: 'presence',
        ref: `t${n}`,
        joinRef: '1',
        payload: { type: 'presence', event: 'track', payload: { n } },
      })
      await node.settle()
    }
    expect(reply(socket.take(), 't5')).toMatchObject({ status: 'ok' })
  })

  test('channels, presence calls, joins, users', async () => {
    const node = new NodeInProcess({
      limits: { maxChannelsPerConnection: 2, maxPresenceCallsPerWindow: 2, maxJoinsPerSecond: 1, maxConnectedUsers: 2 },
    })
    const socket = node.connect()
    await socket.join('realtime:a', {}, '1')
    await socket.join('realtime:b', {}, '2')
    expect((await socket.join('realtime:c', {}, '3')).payload).toEqual({
      status: 'error',
      response: { reason: 'ChannelRateLimitReached: Too many channels' },
    })
    socket.take()
    for (const n of [1, 2, 3])
      socket.send({
        topic: 'realtime:a',
        event: 'presence',
        joinRef: '1',
        ref: `p${n}`,
        payload: { type: 'presence', event: 'track', payload: { n } },
      })
    await node.settle()
    expect(socket.take().find(({ event }) => event === 'system')?.payload).toMatchObject({ message: 'Client presence rate limit exceeded' })
    await node.connect().join('realtime:x')
    expect((await node.connect().join('realtime:x')).payload).toEqual({
      status: 'error',
      response: { reason: 'ConnectionRateLimitReached: Too many connected users' },
    })
    await socket.join('realtime:d', {}, '4')
    expect((await socket.join('realtime:e', {}, '5')).payload).toEqual({
      status: 'error',
      response: { reason: 'ClientJoinRateLimitReached: Too many joins per second' },
    })
    expect(socket.closed).toMatchObject({ code: 1001 })
    expect(await node.server.admitConnection(openToken(), {})).toMatchObject({ ok: true })
  })

  test.each(['1.0.0', '2.0.0'] as const)(
    '%s: a broadcast that asks to be stored is refused by name and not sent (rule B10)',
    async (version) => {
      const node = new NodeInProcess()
      const [a, b] = [node.connect(version), node.connect(version)]
      await a.join(room, { broadcast: { ack: true } })
      await b.join(room)
      b.take()
      const payload = { type: 'broadcast', event: 'e', payload: {}, persist: { ttl: 60 } }
      a.sendRaw(encodeClientMessage(version, { joinRef: '1', ref: 'x', topic: room, event: 'broadcast', payload }))
      a.sendRaw(
        encodeClientMessage(version, { joinRef: '1', ref: 'y', topic: room, event: 'broadcast', payload: { ...payload, persist: false } }),
      )
      await node.settle()
      expect(reply(a.received, 'x')).toMatchObject({
        status: 'error',
        response: { reason: expect.stringMatching(/^PersistUnsupported/) as string },
      })
      expect(reply(a.received, 'y')).toMatchObject({ status: 'ok' })
      expect(b.take().filter(({ event }) => event === 'broadcast')).toHaveLength(1)
      expect(node.decisions).toMatchObject([{ kind: 'push-refused', code: 'persist-unsupported', topic: room }])
    },
  )

  test('payload size: the sender gets an answer, with or without ack', async () => {
    const node = new NodeInProcess({ limits: { maxPayloadBytes: 100 } })
    const [a, b] = [node.connect(), node.connect()]
    await a.join(room)
    await b.join(room)
    b.take()
    a.send({
      topic: room,
      event: 'broadcast',
      ref: 'x',
      joinRef: '1',
      payload: { type: 'broadcast', event: 'e', payload: 'y'.repeat(100) },
    })
    await node.settle()
    expect(reply(a.received, 'x')).toEqual({ status: 'error', response: 'payload_size_exceeded' })
    expect(b.take()).toEqual([])
  })
})

describe('a socket', () => {
  test('that is silent for the idle time is closed with 1000; a heartbeat keeps it', async () => {
    const node = new NodeInProcess({ idleTimeoutMs: 3_000 })
    const [silent, alive] = [node.connect(), node.connect()]
    for (let second = 0; second < 4; second++) {
      alive.send({ topic: 'phoenix', event: 'heartbeat', ref: '1' })
      node.server.sweep()
    }
    expect(silent.closed).toEqual({ code: 1000, reason: '' })
    expect(alive.closed).toBeNull()
  })

  test('that takes nothing is closed, over the bound at once, below it after the stall time; no other receiver waits', async () => {
    const node = new NodeInProcess({ maxBacklogBytes: 400, maxMovingBacklogBytes: 1_000, maxStallMs: 2_000 })
    const [full, stalled, fine] = [node.connect(), node.connect(), node.connect()]
    for (const socket of [full, stalled, fine]) await socket.join(room)
    full.backlog = 1_001
    stalled.backlog = 300
    say(fine, 1)
    await node.settle()
    expect(full.closed).toMatchObject({ code: 1013 })
    expect(stalled.closed).toBeNull()
    for (let second = 0; second < 3; second++) node.server.sweep()
    expect(stalled.closed).toMatchObject({ code: 1013 })
    expect(fine.closed).toBeNull()
    // The handshake is not waited for forever.
    for (let second = 0; second < 6; second++) node.server.sweep()
    expect(full.terminated).toBe(true)
  })

  test('that takes less than it is sent is not stalled, until it takes nothing', async () => {
    const node = new NodeInProcess({ maxBacklogBytes: 100_000, maxStallMs: 2_000 })
    const [slow, sender] = [node.connect(), node.connect()]
    for (const socket of [slow, sender]) await socket.join(room)
    for (let second = 0; second < 6; second++) {
      say(sender, second)
      await node.settle()
      slow.backlog += 20
      node.server.sweep()
    }
    expect(slow.closed).toBeNull()
    for (let second = 0; second < 3; second++) node.server.sweep()
    expect(slow.closed).toMatchObject({ code: 1013 })
  })

  test('that is closed in the midst of a write costs no other receiver the message, nor its place in the order', async () => {
    const node = new NodeInProcess({ maxBacklogBytes: 1_000, maxMovingBacklogBytes: 1_000 })
    const sockets = Array.from({ length: 6 }, () => node.connect())
    for (const [i, socket] of sockets.entries()) await socket.join(room, { presence: { enabled: true, key: `${i}` } })
    const [slow, sender, ...others] = sockets as [SocketInProcess, SocketInProcess, ...SocketInProcess[]]
    slow.send({ topic: room, event: 'presence', ref: 't', joinRef: '1', payload: { type: 'presence', event: 'track', payload: {} } })
    await node.settle()
    for (const socket of sockets) socket.take()
    slow.backlog = 1_001
    // The first is written at once, the next at the end of the turn.
    for (const n of [1, 2]) say(sender, n)
    await node.settle()
    expect(slow.closed).toMatchObject({ code: 1013 })
    const got = others.map((socket) => events(socket.take()))
    expect(got[0]!.toSorted()).toEqual(['broadcast', 'broadcast', 'presence_diff'])
    for (const one of got) expect(one).toEqual(got[0])
    expect(node.decisions.filter(({ kind }) => kind === 'connection-closed')).toHaveLength(1)
  })

  test('that is closed with messages pending in several topics is closed once', async () => {
    const node = new NodeInProcess({ maxBacklogBytes: 1_000, maxMovingBacklogBytes: 1_000 })
    const [slow, fast] = [node.connect(), node.connect()]
    const topics = ['realtime:a', 'realtime:b', 'realtime:c']
    for (const topic of topics) for (const socket of [slow, fast]) await socket.join(topic)
    fast.take()
    for (const n of [1, 2]) for (const topic of topics) say(fast, n, topic)
    slow.backlog = 1_001
    await node.settle()
    expect(slow.closed).toMatchObject({ code: 1013 })
    expect(node.decisions.filter(({ kind }) => kind === 'connection-closed')).toHaveLength(1)
  })

  test('that breaks leaves nothing behind', async () => {
    const node = new NodeInProcess()
    const [gone, stays] = [node.connect(), node.connect()]
    await stays.join(room)
    await gone.join(room, { presence: { enabled: true, key: 'gone' } })
    gone.send({ topic: room, event: 'presence', ref: 't', joinRef: '1', payload: { type: 'presence', event: 'track', payload: {} } })
    await node.settle()
    stays.take()
    gone.disconnect()
    await node.settle()
    expect(stays.take().map(({ event, payload }) => [event, payload])).toMatchObject([['presence_diff', { leaves: { gone: {} } }]])
    stays.disconnect()
    expect(node.server.topics.size).toBe(0)
    expect(node.server.connections.size).toBe(0)
    expect(node.runtime.armedTimers).toBe(0)
  })

  test('that sends what cannot be read gets one notice, and lives', async () => {
    const node = new NodeInProcess()
    const socket = node.connect()
    await socket.join(room)
    socket.take()
    for (const frame of ['', '{', '[]', '[1,2]', 'null', '{"topic":5}']) socket.sendRaw(frame)
    for (const frame of [[], [9], [3, 1, 1, 200], [4, 1, 1]]) socket.sendRaw(Uint8Array.from(frame))
    const notices = socket.take()
    // Each kind of fault once (rule X2), and counted each time.
    expect(node.decisions.filter(({ kind }) => kind === 'frame-refused')).toHaveLength(10)
    expect(notices).toHaveLength(new Set(node.decisions.map(({ code }) => code)).size)
    for (const message of notices) {
      expect(message).toMatchObject({ topic: 'phoenix', event: 'system', payload: { status: 'error' } })
      expect((message.payload as { message: string }).message).toMatch(/^MalformedWebSocketMessage: /)
    }
    expect(await socket.join('realtime:after', {}, '9')).toMatchObject({ payload: { status: 'ok' } })
  })

  test('while the server drains, joins are refused and all sockets are closed with 1012', async () => {
    const node = new NodeInProcess()
    const socket = node.connect()
    await socket.join(room)
    node.server.connections.drain()
    expect(socket.closed).toMatchObject({ code: 1012 })
    expect(await node.server.admitConnection(openToken(), {})).toMatchObject({ ok: false, status: 503 })
  })
})

describe('a connection that the server closes', () => {
  /** A socket that is gone as soon as it is closed. */
  function abrupt(node: NodeInProcess, terminated: () => void): ReturnType<NodeInProcess['server']['accept']> {
    const connection = node.server.accept(
      { version: '2.0.0', token: openToken(), headers: {} },
      { write: () => {}, backlogBytes: () => 0, close: () => connection.transportClosed(1006), terminate: terminated },
    )
    return connection
  }

  test('is closed once, also when its socket is gone before the call to close returns', () => {
    const node = new NodeInProcess({ drainTimeoutMs: 1_000 })
    let terminations = 0
    const connection = abrupt(node, () => terminations++)
    connection.close(1001, 'why')
    for (let sweep = 0; sweep < 5; sweep++) connection.sweep()
    expect(terminations).toBe(0)
    expect(node.server.connections.size).toBe(0)
  })

  test('is given what is pending before its closing handshake', async () => {
    const node = new NodeInProcess()
    const [closed, sender] = [node.connect(), node.connect()]
    for (const socket of [closed, sender]) await socket.join(room)
    closed.take()
    for (const n of [1, 2, 3]) say(sender, n)
    node.server.connections.drain()
    await node.settle()
    expect(closed.take().map(({ payload }) => (payload as { payload: { n: number } }).payload.n)).toEqual([1, 2, 3])
  })

  test('is given nothing after it', () => {
    const node = new NodeInProcess()
    const written: Buffer[] = []
    const connection = node.server.accept(
      { version: '2.0.0', token: openToken(), headers: {} },
      { write: (frames) => void written.push(frames), backlogBytes: () => 0, close: () => {}, terminate: () => {} },
    )
    connection.close(1001, 'why')
    connection.write(Buffer.from('late'), 1)
    expect(written).toEqual([])
  })
})
