import type { Message } from '@tidewire/protocol'
import { ClusterInProcess, type ClusterNode, type SocketInProcess } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { allObservers } from '../all-observers.ts'
import { logObserver } from '../io/observability/log-observer.ts'
import { metricsObserver } from '../io/observability/metrics-observer.ts'
import type { Authorizer, MessageStore } from '../ports.ts'

const room = 'realtime:room'
const allow = { ok: true, broadcast: true, presence: true } as const
const authorizer: Authorizer = { read: () => Promise.resolve(allow), write: () => Promise.resolve(allow) }
const identity = { role: 'anon', claims: {}, headers: {} }

const say = (socket: SocketInProcess, n: number, topic = room): void =>
  socket.send({ topic, event: 'broadcast', joinRef: '1', payload: { type: 'broadcast', event: 'say', payload: { n } } })

const numbers = (messages: readonly Message[]): number[] =>
  messages.filter(({ event }) => event === 'broadcast').map(({ payload }) => (payload as { payload: { n: number } }).payload.n)

const gaps = (messages: readonly Message[]): unknown[] =>
  messages.filter(({ event }) => event === 'system').map(({ payload }) => (payload as { gap?: unknown }).gap)

async function cluster(...names: readonly string[]): Promise<[ClusterInProcess, ...ClusterNode[]]> {
  const all = new ClusterInProcess()
  for (const name of names) all.add(name, {}, { authorizer })
  await all.meet()
  await all.pass(3_000)
  return [all, ...all.nodes]
}

/** Joins and waits for the reply. */
async function joined(
  all: ClusterInProcess,
  node: ClusterNode,
  config: object = {},
  version: '1.0.0' | '2.0.0' = '2.0.0',
): Promise<SocketInProcess> {
  const socket = node.connect(version)
  socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config } })
  await all.until(() => socket.received.some(({ event }) => event === 'phx_reply'))
  expect(socket.take()[0]!.payload).toMatchObject({ status: 'ok' })
  return socket
}

describe('a broadcast (rule B11)', () => {
  test('reaches the members on every node once, in order, and its sender not at all', async () => {
    const [all, a, b, c] = await cluster('a', 'b', 'c')
    const [sender, here, there] = [await joined(all, a!), await joined(all, a!), await joined(all, b!)]
    for (let n = 0; n < 40; n++) say(sender, n)
    await all.pass(100)
    const sent = Array.from({ length: 40 }, (_, n) => n)
    expect(numbers(sender.take())).toEqual([])
    expect(numbers(here.take())).toEqual(sent)
    expect(numbers(there.take())).toEqual(sent)
    expect(c!.relay.stats().receivedMessages).toBe(0)
    // One at once, the rest together.
    expect([...a!.end.published].filter(([subject]) => subject.includes('.t.')).map(([, count]) => count)).toEqual([2])
    say(there, 99)
    await all.pass(100)
    expect(numbers(sender.take())).toEqual([99])
    expect(numbers(there.take())).toEqual([])
  })

  test('comes in the same bytes as on its own node, whatever its form and the version of the receiver', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const sender = await joined(all, a!)
    const receivers: SocketInProcess[][] = []
    for (const version of ['1.0.0', '2.0.0'] as const)
      receivers.push([await joined(all, a!, {}, version), await joined(all, b!, {}, version)])
    say(sender, 1)
    const kind3 = (encoding: number, metadata: string, payload: Uint8Array): Uint8Array => {
      const head = [3, 1, 0, room.length, 1, metadata.length, encoding]
      return Buffer.concat([Buffer.from(head), Buffer.from(`1${room}e${metadata}`), payload])
    }
    sender.sendRaw(kind3(1, '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}', Buffer.from('{"x":1.50}')))
    sender.sendRaw(kind3(0, '', Uint8Array.of(0, 255)))
    const http = { subTopic: 'room', private: false, event: 'h', payload: { encoding: 'json', bytes: Buffer.from('{"y":2}') } } as const
    await a!.server.publish({ ...http, form: 'text', id: 'i', identity })
    await a!.server.publish({ ...http, form: 'user', identity })
    await all.pass(100)
    for (const [here, there] of receivers) {
      expect(there!.received).toHaveLength(here!.received.length)
      expect(there!.take()).toEqual(here!.take())
    }
  })

  test('over HTTP reaches members of other nodes where its own has none', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const there = await joined(all, b!)
    const payload = { encoding: 'json', bytes: Buffer.from('{"n":1}') } as const
    const sent = await a!.server.publish({ subTopic: 'room', private: false, event: 'h', payload, form: 'text', identity })
    expect(sent).toEqual({ kind: 'accepted', receivers: 0 })
    await all.pass(100)
    expect(numbers(there.take())).toEqual([1])
    expect(a!.server.topics.size).toBe(0)
  })

  test('of the database is not relayed: every node reads it itself', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const [here, there] = [await joined(all, a!), await joined(all, b!)]
    const payload = { encoding: 'json', bytes: Buffer.from('{"n":1}') } as const
    a!.server.publishTrusted({ subTopic: 'room', private: false, event: 'd', payload, form: 'user', id: 'i' })
    await all.pass(100)
    expect(here.take()).toHaveLength(1)
    expect(there.take()).toEqual([])
  })

  test('of a private topic does not reach the public one of that name', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const [open, closed] = [await joined(all, b!), await joined(all, b!, { private: true })]
    const sender = await joined(all, a!, { private: true })
    say(sender, 1)
    await all.pass(100)
    expect(numbers(closed.take())).toEqual([1])
    expect(numbers(open.take())).toEqual([])
  })
})

describe('the first join of a topic on a node', () => {
  test('is answered when the messages of other nodes come', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const sender = await joined(all, a!)
    const socket = b!.connect()
    socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config: { broadcast: { gaps: true } } } })
    await Promise.resolve()
    expect(socket.received).toEqual([])
    await all.until(() => socket.received.length > 0)
    say(sender, 1)
    await all.pass(50)
    const messages = socket.take()
    expect(numbers(messages)).toEqual([1])
    expect(gaps(messages)).toEqual([])
  })

  test('is answered after a second without an answer of the broker, and a member that asks is notified of a gap', async () => {
    const [all, , b] = await cluster('a', 'b')
    b!.end.blackhole()
    const sockets = [{ gaps: true }, {}].map((broadcast) => {
      const socket = b!.connect()
      socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config: { broadcast } } })
      return socket
    })
    await all.pass(900)
    expect(sockets.flatMap(({ received }) => received)).toEqual([])
    await all.pass(200)
    expect(sockets.map(({ received }) => received.map(({ event }) => event))).toEqual([['phx_reply', 'system'], ['phx_reply']])
    expect(sockets[0]!.received[1]!.payload).toEqual({
      message: 'Broadcasts from other nodes may not come yet: the way to them is not confirmed',
      status: 'error',
      extension: 'broadcast',
      channel: 'room',
      gap: 'relay-unconfirmed',
    })
  })

  test('that is given up leaves no topic and no interest behind', async () => {
    const [all, , b] = await cluster('a', 'b')
    b!.end.blackhole()
    const socket = b!.connect()
    socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: {} })
    await all.pass(100)
    expect(b!.server.topics.size).toBe(1)
    socket.disconnect()
    expect(b!.server.topics.size).toBe(0)
    await all.pass(5_000)
    expect(b!.relay.stats().subscriptions).toBe(0)
  })

  test('needs no broker: a node that is alone answers at once', async () => {
    const [all, , b] = await cluster('a', 'b')
    b!.end.cut()
    const [asks, does] = [await joined(all, b!, { broadcast: { gaps: true } }), await joined(all, b!)]
    say(does, 1)
    await all.settle()
    const messages = asks.take()
    expect(numbers(messages)).toEqual([1])
  })

  test('waits for the messages of other nodes first, then for stored ones', async () => {
    const messageStore: MessageStore = {
      replay: () => Promise.resolve({ ok: true, messages: [{ id: 'x', event: 'e', encoding: 'json', bytes: Buffer.from('{"n":7}') }] }),
    }
    const all = new ClusterInProcess()
    const node = all.add('a', {}, { authorizer, messageStore })
    all.add('b')
    await all.meet()
    const socket = node.connect()
    const config = { private: true, broadcast: { replay: { since: 1 } } }
    socket.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config } })
    await all.until(() => socket.received.length > 0)
    expect(socket.take().map(({ event }) => event)).toEqual(['phx_reply', 'broadcast'])
    socket.disconnect()
    expect(node.server.topics.size).toBe(0)
  })
})

test('when the way to other nodes was down, members that ask are notified of a gap and others see nothing (rule B12)', async () => {
  const [all, a, b] = await cluster('a', 'b')
  const [asks, does, unreadable] = [
    await joined(all, b!, { broadcast: { gaps: true } }),
    await joined(all, b!),
    await joined(all, a!, { broadcast: { gaps: true } }),
  ]
  b!.end.cut()
  await all.pass(500)
  expect(asks.take()).toEqual([])
  b!.end.heal()
  await all.until(() => asks.received.length > 0, 20_000)
  await all.pass(3_000)
  expect(new Set(gaps(asks.take()))).toEqual(new Set(['relay-lost']))
  expect(new Set(gaps(unreadable.take()))).toEqual(new Set(['relay-lost']))
  expect(does.take()).toEqual([])
})

describe('presence (rule P10)', () => {
  const track = (socket: SocketInProcess, payload: object): void =>
    socket.send({ topic: room, event: 'presence', ref: 't', joinRef: '1', payload: { type: 'presence', event: 'track', payload } })
  const diffs = (messages: readonly Message[]): [string[], string[]][] =>
    messages
      .filter(({ event }) => event === 'presence_diff')
      .map(({ payload }) => {
        const { joins, leaves } = payload as { joins: object; leaves: object }
        return [Object.keys(joins), Object.keys(leaves)]
      })
  const keyed = (key: string): object => ({ presence: { enabled: true, key } })

  test('is seen on every node: joins, updates, leaves, and the state of a later join', async () => {
    const [all, a, b, c] = await cluster('a', 'b', 'c')
    const [here, there] = [await joined(all, a!, keyed('here')), await joined(all, b!, keyed('there'))]
    track(here, { at: 1 })
    await all.pass(50)
    expect(diffs(there.take())).toEqual([[['here'], []]])
    track(here, { at: 2 })
    await all.pass(50)
    expect(diffs(there.take())).toEqual([[['here'], ['here']]])
    track(there, {})
    await all.pass(50)
    expect(diffs(here.take()).at(-1)).toEqual([['there'], []])
    const late = c!.connect()
    late.send({ topic: room, event: 'phx_join', ref: '1', joinRef: '1', payload: { config: keyed('late') } })
    await all.pass(50)
    const state = late.take().find(({ event }) => event === 'presence_state')!.payload as Record<string, { metas: { at?: number }[] }>
    expect(Object.keys(state).toSorted()).toEqual(['here', 'there'])
    expect(state['here']!.metas[0]!.at).toBe(2)
    here.disconnect()
    await all.pass(50)
    expect(diffs(there.take()).at(-1)).toEqual([[], ['here']])
    expect(diffs(late.take())).toEqual([[[], ['here']]])
  })

  test('of a node that is gone leaves within five seconds, and comes back when it was only cut off', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const [here, there] = [await joined(all, a!, keyed('here')), await joined(all, b!, keyed('there'))]
    track(there, {})
    await all.pass(1_000)
    here.take()
    b!.end.cut()
    await all.pass(6_000)
    expect(diffs(here.take())).toEqual([[[], ['there']]])
    b!.end.heal()
    await all.until(() => diffs(here.received).length > 0, 20_000)
    expect(diffs(here.take())).toEqual([[['there'], []]])
  })

  test('of a draining node does not flicker for a client that comes back elsewhere', async () => {
    const [all, a, b, c] = await cluster('a', 'b', 'c')
    const [watcher, mover] = [await joined(all, a!, keyed('watcher')), await joined(all, b!, keyed('mover'))]
    track(mover, {})
    await all.pass(1_000)
    watcher.take()
    b!.server.drain()
    mover.disconnect()
    await all.pass(500)
    expect(diffs(watcher.take())).toEqual([])
    const returned = await joined(all, c!, keyed('mover'))
    track(returned, {})
    await all.pass(8_000)
    const seen = diffs(watcher.take())
    const present = seen.reduce((count, [joins, leaves]) => count + joins.length - leaves.length, 1)
    expect(present).toBe(1)
    expect(seen[0]![0]).toEqual(['mover'])
  })

  test('does not flicker either on the draining node itself, whose sockets are closed one after the other', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const [last, first] = [await joined(all, a!, keyed('last')), await joined(all, a!, keyed('first'))]
    const elsewhere = await joined(all, b!, keyed('elsewhere'))
    track(first, {})
    await all.pass(500)
    last.take()
    elsewhere.take()
    a!.server.leave()
    first.disconnect()
    await all.pass(2_000)
    expect(diffs(last.take())).toEqual([])
    const returned = await joined(all, b!, keyed('first'))
    track(returned, {})
    await all.pass(100)
    expect(diffs(last.take())).toEqual([[['first'], ['first']]])
    expect(diffs(elsewhere.take())).toEqual([[['first'], ['first']]])
    returned.disconnect()
    await all.pass(100)
    expect(diffs(last.take())).toEqual([[[], ['first']]])
  })

  test('leaves all nodes, the draining one too, when its client does not come back within the time that was announced', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const [last, first] = [await joined(all, a!, keyed('last')), await joined(all, a!, keyed('first'))]
    const elsewhere = await joined(all, b!, keyed('elsewhere'))
    track(first, {})
    await all.pass(500)
    a!.server.leave(3_000)
    last.take()
    elsewhere.take()
    first.disconnect()
    await all.pass(7_500)
    expect([...diffs(last.take()), ...diffs(elsewhere.take())]).toEqual([])
    await all.pass(2_000)
    for (const socket of [last, elsewhere]) expect(diffs(socket.take())).toEqual([[[], ['first']]])
  })

  test('nothing is written for topics that have members on other nodes only', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const there = await joined(all, b!, keyed('there'))
    const seen: string[] = []
    a!.server.watch({
      ...allObservers([]),
      broadcast: (topic) => void seen.push(topic),
    })
    track(there, {})
    await all.pass(100)
    expect(seen).toEqual([])
  })
})

test('logs and metrics name the node, and say how the way to the others is', async () => {
  const all = new ClusterInProcess()
  const lines: Record<string, unknown>[] = []
  const log = logObserver({
    runtime: all.runtime,
    node: 'a',
    lines: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>), flush: () => Promise.resolve() },
  })
  const [a, b] = [all.add('a', {}, { authorizer, observer: log.observer }), all.add('b')]
  const { metrics } = metricsObserver({ relay: a.relay })
  await all.meet()
  const [sender] = [await joined(all, a), await joined(all, b)]
  say(sender, 1)
  await all.pass(100)
  const before = await metrics.text()
  expect(before).toContain('tidewire_node_info{node="a",version="1"} 1')
  expect(before).toContain('tidewire_relay_up 1')
  expect(before).toContain('tidewire_peers 1')
  expect(before).toContain('tidewire_relay_sent_total 1')
  a.end.cut('the broker went away')
  await all.pass(100)
  say(sender, 2)
  const after = await metrics.text()
  expect(after).toContain('tidewire_relay_up 0')
  expect(after).toContain('tidewire_relay_faults_total{code="unsent"} 1')
  a.end.heal()
  b.server.drain()
  await all.until(() => a.relay.link.state === 'up', 20_000)
  await all.until(() => lines.some(({ msg }) => msg === 'another node drains'))
  await b.server.close()
  await all.until(() => lines.some(({ msg }) => msg === 'another node is gone'))
  expect(lines.every(({ node }) => node === 'a')).toBe(true)
  const texts = lines.map(({ msg }) => msg)
  expect(texts).toContain('connected to the other nodes')
  expect(texts).toContain('another node is up')
  expect(texts).toContain('no way to the other nodes: the broker went away')
  expect(texts).toContain('messages of other nodes may have been missed on all topics with members')
  expect(lines).toContainEqual(expect.objectContaining({ code: 'relay-unsent', count: 1 }))
})
