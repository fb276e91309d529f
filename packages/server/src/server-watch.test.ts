import { NodeInProcess, openToken } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { allObservers } from './all-observers.ts'
import type { Authorizer, ChangeFeed, DecidedChange, SentMessage } from './ports.ts'

const room = 'realtime:room'
const silent = allObservers([])

function push(n: number): { topic: string; event: string; payload: unknown } {
  return { topic: room, event: 'broadcast', payload: { type: 'broadcast', event: 'e', payload: n } }
}

describe('an observer of a running server', () => {
  test('is notified how long messages take, gathered ones to their write, and nothing once it is gone', async () => {
    const node = new NodeInProcess()
    const [sender, receiver] = [node.connect(), node.connect('1.0.0')]
    await sender.join(room)
    await receiver.join(room)
    const times: number[] = []
    const stop = node.server.watch({ ...silent, fannedOut: (ms) => times.push(ms) })
    sender.send(push(1))
    expect(times).toEqual([0])
    sender.send(push(2))
    node.runtime.advance(7)
    sender.send(push(3))
    expect(times).toEqual([0])
    node.runtime.endTurn()
    expect(times).toEqual([0, 7, 0])
    stop()
    sender.send(push(4))
    await node.settle()
    expect(times).toHaveLength(3)
  })

  test('sees the sender of each message, and to which of two topics of a name', async () => {
    const allowing = { ok: true, broadcast: true, presence: true } as const
    const authorizer: Authorizer = { read: () => Promise.resolve(allowing), write: () => Promise.resolve(allowing) }
    const node = new NodeInProcess({}, { authorizer })
    const socket = node.connect()
    const seen: (Omit<SentMessage, 'payload'> & { payload: string })[] = []
    const joins: unknown[] = []
    node.server.watch({
      ...silent,
      joined: (...args) => joins.push(args),
      broadcast: (_topic, _receivers, _bytes, message) => seen.push({ ...message, payload: Buffer.from(message.payload).toString() }),
    })
    await socket.join(room, { private: true })
    socket.send(push(1))
    socket.send({ topic: room, event: 'presence', payload: { type: 'presence', event: 'track', payload: { a: 1 } } })
    await node.settle()
    node.server.publishTrusted({
      subTopic: 'room',
      private: true,
      event: 'sql',
      payload: { encoding: 'json', bytes: Buffer.from('[1]') },
      form: 'text',
    })
    expect(joins).toEqual([['1', room, true]])
    expect(seen).toMatchObject([
      { kind: 'broadcast', private: true, connection: '1', event: null, payload: '{"type":"broadcast","event":"e","payload":1}' },
      { kind: 'track', private: true, connection: '1', event: 'presence_diff' },
      { kind: 'broadcast', private: true, connection: null, event: 'sql', payload: '[1]' },
    ])
  })

  test('sees messages without receivers, too: over HTTP, and from SQL', async () => {
    const node = new NodeInProcess()
    const seen: unknown[] = []
    node.server.watch({ ...silent, broadcast: (topic, receivers, bytes, message) => seen.push([topic, receivers, bytes, message]) })
    const payload = { encoding: 'json', bytes: Buffer.from('[1]') } as const
    const request = { subTopic: 'nowhere', private: false, event: 'e', payload, form: 'text' } as const
    const identity = { role: 'anon', claims: {}, headers: {} }
    expect(await node.server.publish({ ...request, identity })).toEqual({ kind: 'accepted', receivers: 0 })
    expect(node.server.publishTrusted({ ...request, private: true, id: '5' })).toBe(0)
    const common = { kind: 'broadcast', connection: null, event: 'e', encoding: 'json', payload: payload.bytes }
    expect(seen).toEqual([
      ['realtime:nowhere', 0, 3, { ...common, private: false }],
      ['realtime:nowhere', 0, 3, { ...common, private: true }],
    ])
  })

  test('is notified how long what SQL sends took from its commit, when it is written', async () => {
    const node = new NodeInProcess()
    await node.connect().join(room)
    const times: number[] = []
    node.server.watch({ ...silent, storedFannedOut: (ms) => times.push(ms) })
    const payload = { encoding: 'json', bytes: Buffer.from('[1]') } as const
    const send = (id: string, subTopic: string, agoMs: number): number =>
      node.server.publishTrusted({
        ...{ subTopic, private: false, event: 'e', payload, form: 'user', id },
        committedAt: node.runtime.now() - agoMs,
      })
    expect(send('1', 'room', 5)).toBe(1)
    expect(times).toEqual([5])
    // Reported when a gathered message goes out; at once where there is no receiver, or where the database's clock is ahead.
    send('2', 'room', 6)
    send('3', 'nowhere', 8)
    send('4', 'nowhere', -1_000)
    expect(times).toEqual([5, 8, 0])
    node.runtime.advance(7)
    node.runtime.endTurn()
    expect(times).toEqual([5, 8, 0, 13])
  })

  test('is notified how long policies took, and how the feed is doing', async () => {
    const node: NodeInProcess = new NodeInProcess(
      {},
      {
        authorizer: {
          read: () => {
            node.runtime.advance(12)
            return Promise.resolve({ ok: true, broadcast: true, presence: true })
          },
          write: () => Promise.resolve({ ok: true, broadcast: false, presence: false }),
        },
        changeFeed: feed(() => ({ lagBytes: 50, oldestAt: node.runtime.now() - 30, trouble: null })),
      },
    )
    const notified: unknown[] = []
    const noting =
      (what: string) =>
      (...args: unknown[]): void =>
        void notified.push([what, ...args])
    node.server.watch({ ...silent, authorized: noting('authorized'), feedLag: noting('lag'), changed: noting('changed') })
    await node.connect('2.0.0', openToken()).join(room, { private: true })
    node.server.sweep()
    const change = { schema: 'public', table: 't', action: 'INSERT', committedAt: node.runtime.now() - 4, receivers: 2, payload: null }
    decided?.(change)
    decided?.({ ...change, committedAt: node.runtime.now() + 500 })
    expect(notified).toMatchObject([
      ['authorized', 12],
      ['lag', { bytes: 50, ms: 30 }],
      ['changed', { ms: 4, receivers: 2 }],
      ['changed', { ms: 0 }],
    ])
  })
})

let decided: ((change: DecidedChange) => void) | null = null

function feed(progress: NonNullable<ChangeFeed['progress']>): ChangeFeed {
  return { open: () => ({ setIdentity: () => {}, close: () => {} }), observe: (notify) => void (decided = notify), progress }
}
