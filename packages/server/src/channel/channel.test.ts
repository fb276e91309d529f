import type { Message } from '@tidewire/protocol'
import { NodeInProcess, openToken } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import type { Authorizer } from '../ports.ts'
import { joinPrivate, room, reply, events, Gate, allow, deny, say } from '../../test/channel-steps.ts'

describe('joins', () => {
  test('one that waits for its policies holds up neither the socket nor its other channels', async () => {
    const gate = new Gate()
    const node = new NodeInProcess({}, { authorizer: gate })
    const socket = node.connect()
    socket.send({ topic: 'realtime:slow', event: 'phx_join', ref: '1', joinRef: '1', payload: { config: { private: true } } })
    await node.settle()
    expect(reply([await socket.join('realtime:fast', {}, '2')], '2')).toMatchObject({ status: 'ok' })
    socket.send({ topic: 'phoenix', event: 'heartbeat', ref: '3' })
    expect(reply(socket.received, '3')).toEqual({ status: 'ok', response: {} })
    gate.asked[0]!.answer(deny)
    await node.settle()
    expect(reply(socket.received, '1')).toEqual({
      status: 'error',
      response: { reason: 'Unauthorized: You do not have permissions to read from this Channel topic: slow' },
    })
  })

  test('frames sent before the join is answered are handled after it, in order', async () => {
    const gate = new Gate()
    const node = new NodeInProcess({}, { authorizer: gate })
    const [a, b] = [node.connect(), node.connect()]
    for (const socket of [a, b]) await joinPrivate(node, socket)
    say(a, 1)
    say(a, 2)
    a.send({ topic: room, event: 'phx_leave', ref: 'l', joinRef: '1' })
    expect(a.received).toEqual([])
    for (const question of gate.asked.splice(0)) question.answer(allow)
    await node.settle()
    expect(gate.asked.map(({ kind }) => kind)).toEqual(['write'])
    gate.asked[0]!.answer(allow)
    await node.settle()
    expect(a.take().map(({ ref, event }) => `${event} ${String(ref)}`)).toEqual([
      'phx_reply 1',
      'phx_reply b1',
      'phx_reply b2',
      'phx_reply l',
      'phx_close 1',
    ])
    expect(b.take().filter(({ event }) => event === 'broadcast')).toHaveLength(2)
  })

  test('frames that waited for a join that is refused are answered as for a topic that is not joined', async () => {
    const node = new NodeInProcess()
    const socket = node.connect()
    socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config: {}, access_token: 'bad' } })
    say(socket, 1)
    socket.send({ topic: room, event: 'phx_leave', ref: 'l', joinRef: '1' })
    await node.settle()
    expect(reply(socket.received, '1')).toEqual({
      status: 'error',
      response: { reason: 'JwtSignatureError: Failed to validate JWT signature' },
    })
    expect(reply(socket.received, 'b1')).toEqual({ status: 'error', response: { reason: 'unmatched topic' } })
    expect(reply(socket.received, 'l')).toEqual({ status: 'ok', response: {} })
  })

  test('what a socket keeps waiting is bounded in bytes, over all of its channels, and what is too much is refused by name', async () => {
    const gate = new Gate()
    const node = new NodeInProcess({}, { authorizer: gate })
    const socket = node.connect()
    const rooms = [1, 2, 3, 4].map((n) => `realtime:room ${n}`)
    for (const topic of rooms)
      socket.send({ topic, event: 'phx_join', ref: `j${topic}`, joinRef: '1', payload: { config: { private: true } } })
    const payload = { type: 'broadcast', event: 'e', payload: { text: 'x'.repeat(2_000_000) } }
    const sayTo = (topic: string, ref: string): void => socket.send({ topic, event: 'broadcast', ref, joinRef: '1', payload })
    for (const [n, topic] of rooms.entries()) sayTo(topic, `b${n}`)
    await node.settle()
    const refused = (messages: readonly Message[]): unknown[] =>
      messages.map(({ ref, payload }) => [ref, (payload as { response: unknown }).response])
    const reason = 'TooManyWaitingPushes: the channel is still being authorized'
    expect(refused(socket.take())).toEqual([
      ['b2', { reason }],
      ['b3', { reason }],
    ])
    // What is no longer waited for makes room.
    for (const question of gate.asked.splice(0, 2)) question.answer(deny)
    await node.settle()
    socket.take()
    sayTo(rooms[2]!, 'b4')
    expect(socket.take()).toEqual([])
  })

  test('joins that come while the first is being decided are answered in turn, and frames after them are for the last', async () => {
    const gate = new Gate()
    const node = new NodeInProcess({}, { authorizer: gate })
    const a = node.connect()
    const join = (ref: string): void =>
      a.send({
        topic: room,
        event: 'phx_join',
        ref,
        joinRef: ref,
        payload: { config: { private: ref !== '3', broadcast: { ack: true, self: true } } },
      })
    for (const ref of ['1', '2', '3']) join(ref)
    a.send({ topic: room, event: 'broadcast', ref: 'b', joinRef: '3', payload: { type: 'broadcast', event: 'say', payload: {} } })
    for (let asked = 0; asked < 2; asked++) {
      await node.settle()
      gate.asked.shift()!.answer(allow)
    }
    await node.settle()
    expect(gate.asked).toEqual([])
    expect(a.take().map(({ ref, event, joinRef }) => `${event} ${String(ref)} ${String(joinRef)}`)).toEqual([
      'phx_reply 1 1',
      'phx_reply 2 2',
      'phx_close 1 1',
      'phx_reply 3 3',
      'phx_close 2 2',
      'broadcast null null',
      'phx_reply b 3',
    ])
  })

  test('a second join of a topic replaces the first, which is closed after the new one has its reply', async () => {
    const node = new NodeInProcess()
    const [a, b] = [node.connect(), node.connect()]
    await a.join(room, { presence: { enabled: true, key: 'a' } })
    await b.join(room)
    a.send({ topic: room, event: 'presence', ref: 't', joinRef: '1', payload: { type: 'presence', event: 'track', payload: {} } })
    await node.settle()
    a.take()
    b.take()
    await a.join(room, {}, '2')
    expect(a.take().map(({ event, ref }) => `${event} ${String(ref)}`)).toEqual(['phx_reply 2', 'phx_close 1'])
    expect(b.take().map(({ event, payload }) => [event, payload])).toMatchObject([['presence_diff', { leaves: { a: {} } }]])
    say(b, 1)
    await node.settle()
    expect(events(a.take())).toEqual(['broadcast'])
  })

  test('of many that join at once each has its reply and the state first, and then the joins after it', async () => {
    const node = new NodeInProcess()
    const many = Array.from({ length: 20 }, () => node.connect())
    for (const [n, socket] of many.entries()) {
      const config = { presence: { enabled: true, key: `k${n}` } }
      socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config } })
      socket.send({ topic: room, event: 'presence', ref: '2', joinRef: '1', payload: { type: 'presence', event: 'track', payload: { n } } })
    }
    await node.settle()
    const keys = (payload: unknown): string[] => Object.keys(payload as object)
    for (const [n, socket] of many.entries()) {
      const [joined, state, ...others] = socket.take()
      expect([joined!.event, joined!.ref, state!.event]).toEqual(['phx_reply', '1', 'presence_state'])
      const came = others.filter(({ event }) => event === 'presence_diff')
      const seen = [...keys(state!.payload), ...came.flatMap(({ payload }) => keys((payload as { joins: object }).joins))]
      expect(seen).toEqual(many.map((_, each) => `k${each}`))
      expect(came.length).toBe(20 - n)
    }
  })

  test('public and private topics of one name do not hear each other', async () => {
    const allowAll: Authorizer = { read: () => Promise.resolve(allow), write: () => Promise.resolve(allow) }
    const node = new NodeInProcess({}, { authorizer: allowAll })
    const [open, closed] = [node.connect(), node.connect()]
    await open.join(room)
    await closed.join(room, { private: true })
    say(open, 1)
    say(closed, 2)
    await node.settle()
    expect(events([...open.take(), ...closed.take()])).toEqual(['phx_reply', 'phx_reply'])
  })
})

describe('permission to send', () => {
  test('a private broadcast without it is refused by name, with or without ack, and the next one too', async () => {
    const gate = new Gate()
    const node = new NodeInProcess({}, { authorizer: gate })
    const socket = node.connect()
    socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config: { private: true } } })
    await node.settle()
    gate.asked.shift()!.answer(allow)
    await node.settle()
    say(socket, 1)
    say(socket, 2)
    gate.asked.shift()!.answer(deny)
    await node.settle()
    for (const ref of ['b1', 'b2'])
      expect(reply(socket.received, ref)).toEqual({
        status: 'error',
        response: { reason: 'Unauthorized: You do not have permissions to broadcast to this Channel topic: room' },
      })
    expect(node.decisions.filter(({ code }) => code === 'unauthorized')).toHaveLength(2)
  })

  test('when it cannot be found out, what waited is refused and the next push asks again', async () => {
    const gate = new Gate()
    const node = new NodeInProcess({}, { authorizer: gate })
    const socket = node.connect()
    await joinPrivate(node, socket)
    gate.asked.shift()!.answer(allow)
    await node.settle()
    say(socket, 1)
    gate.asked.shift()!.answer({ ok: false, reason: 'UnableToConnectToProject: no database' })
    await node.settle()
    expect(reply(socket.received, 'b1')).toEqual({ status: 'error', response: { reason: 'UnableToConnectToProject: no database' } })
    say(socket, 2)
    gate.asked.shift()!.answer(allow)
    await node.settle()
    expect(reply(socket.received, 'b2')).toEqual({ status: 'ok', response: {} })
  })
})

describe('tokens', () => {
  test('an expired one closes its channel and not the socket, also when the clock jumps', async () => {
    const node = new NodeInProcess()
    const socket = node.connect()
    await socket.join(room, {}, '1', openToken({}, node.runtime.now() / 1000 + 60))
    await socket.join('realtime:other', {}, '2')
    socket.take()
    node.server.sweep()
    expect(socket.take()).toEqual([])
    node.runtime.jumpClock(61_000)
    node.server.sweep()
    expect(socket.take().map(({ event, payload }) => [event, payload])).toEqual([
      ['system', { message: 'Token has expired 1 seconds ago', status: 'error', extension: 'system', channel: 'room' }],
      ['phx_close', {}],
    ])
    expect(socket.closed).toBeNull()
    say(socket, 1, 'realtime:other')
    await node.settle()
    expect(node.server.topics.size).toBe(1)
  })

  test('a new one keeps the channel alive; a bad one ends it', async () => {
    const node = new NodeInProcess()
    const socket = node.connect()
    const now = node.runtime.now() / 1000
    await socket.join(room, {}, '1', openToken({}, now + 60))
    socket.send({ topic: room, event: 'access_token', joinRef: '1', payload: { access_token: openToken({}, now + 6_000) } })
    await node.settle()
    node.runtime.jumpClock(120_000)
    node.server.sweep()
    socket.take()
    say(socket, 1)
    expect(events(socket.take())).toEqual([])
    socket.send({ topic: room, event: 'access_token', joinRef: '1', payload: { access_token: 'bad' } })
    await node.settle()
    expect(events(socket.take())).toEqual(['system', 'phx_close'])
  })
})
