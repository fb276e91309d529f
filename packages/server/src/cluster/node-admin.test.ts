import { ADMIN_ROLE, ADMIN_TOPIC } from '@tidewire/protocol'
import { ClusterInProcess, openToken, openVerifier, type ClusterNode, type SocketInProcess } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { allObservers } from '../all-observers.ts'
import type { AdminPorts } from '../ports.ts'
import { parseDisconnectTarget } from './node-admin.ts'

const admin: AdminPorts = {
  version: '1',
  verifier: {
    verify: (token) =>
      token.startsWith('admin:') ? openVerifier.verify(token.slice(6)) : Promise.resolve({ ok: false, fault: { code: 'signature' } }),
  },
}
const KEY = `admin:${openToken({ role: ADMIN_ROLE })}`

interface Reply {
  readonly status: string
  readonly response: Record<string, unknown>
}

async function cluster(...names: readonly string[]): Promise<[ClusterInProcess, ...ClusterNode[]]> {
  const all = new ClusterInProcess()
  for (const name of names) all.add(name, {}, { admin })
  await all.meet()
  return [all, ...all.nodes]
}

async function inspector(all: ClusterInProcess, node: ClusterNode): Promise<(event: string, payload: object) => Promise<Reply>> {
  const socket = node.connect('2.0.0', KEY)
  let refs = 0
  const ask = async (event: string, payload: object): Promise<Reply> => {
    const ref = String(++refs)
    socket.send({ topic: ADMIN_TOPIC, event, ref, joinRef: 'j', payload })
    await all.until(() => socket.received.some((message) => message.ref === ref))
    return socket.received.find((message) => message.ref === ref)!.payload as Reply
  }
  expect(await ask('phx_join', { access_token: KEY })).toMatchObject({ status: 'ok' })
  return ask
}

function user(node: ClusterNode, sub: string): SocketInProcess {
  return node.connect('2.0.0', openToken({ sub }))
}

describe('an administrator (rule I7)', () => {
  test('sees all nodes, and which did not answer', async () => {
    const [all, a, b, c] = await cluster('a', 'b', 'c')
    user(b!, 'ada')
    const ask = await inspector(all, a!)
    const { response } = await ask('admin_nodes', {})
    const named = ({ nodes }: Record<string, unknown>) =>
      (nodes as { name: string; isAsked: boolean; answers: boolean; connections: number }[]).map((node) => [
        node.name,
        node.isAsked,
        node.answers,
        node.connections,
      ])
    expect(named(response)).toEqual([
      ['a', true, true, 1],
      ['b', false, true, 1],
      ['c', false, true, 0],
    ])
    c!.end.blackhole()
    expect(named((await ask('admin_nodes', {})).response)).toEqual([
      ['a', true, true, 1],
      ['b', false, true, 1],
      ['c', false, false, 0],
    ])
  })

  test('disconnects a user on every node, by the token of the socket or of a channel', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const [here, there, other] = [user(a!, 'ada'), user(b!, 'ada'), user(b!, 'bob')]
    const asAda = user(b!, 'guest')
    asAda.send({ topic: 'realtime:x', event: 'phx_join', ref: '1', joinRef: '1', payload: { access_token: openToken({ sub: 'ada' }) } })
    await all.until(() => asAda.received.length > 0)
    const ask = await inspector(all, a!)
    expect(await ask('admin_disconnect', { sub: 'ada' })).toEqual({ status: 'ok', response: { disconnected: 3, silent: [] } })
    for (const socket of [here, there, asAda]) expect(socket.closed).toEqual({ code: 1008, reason: 'Disconnected by an administrator' })
    expect(other.closed).toBeNull()
    expect(b!.decisions).toContainEqual(
      expect.objectContaining({ kind: 'connection-closed', code: 'close-1008', detail: 'Disconnected by an administrator' }),
    )
  })

  test('disconnects one connection of the node that it names, or of the node that it asks', async () => {
    const [all, a, b] = await cluster('a', 'b')
    const [here, there] = [user(a!, 'ada'), user(b!, 'ada')]
    const ask = await inspector(all, a!)
    expect((await ask('admin_disconnect', { connection: '1', node: 'b' })).response).toEqual({ disconnected: 1, silent: [] })
    expect([here.closed, there.closed?.code]).toEqual([null, 1008])
    expect((await ask('admin_disconnect', { connection: '1' })).response).toEqual({ disconnected: 1, silent: [] })
    expect(here.closed?.code).toBe(1008)
    expect((await ask('admin_disconnect', { connection: 'zz', node: b!.relay.self.instance })).response).toEqual({
      disconnected: 0,
      silent: [],
    })
    b!.end.blackhole()
    expect((await ask('admin_disconnect', { sub: 'ada' })).response).toEqual({ disconnected: 0, silent: ['b'] })
  })

  test('gets a sentence for a request that names nothing', async () => {
    const [all, a] = await cluster('a')
    const ask = await inspector(all, a!)
    for (const payload of [{}, { sub: '' }, { sub: 1 }, { sub: 'a', connection: '1' }, { connection: '1', node: 2 }])
      expect(await ask('admin_disconnect', payload)).toEqual({
        status: 'error',
        response: { reason: 'MalformedRequest: give a sub, or a connection and perhaps its node' },
      })
    expect(parseDisconnectTarget(null)).toBeNull()
  })
})

test('a node says nothing about itself but its figures', async () => {
  const [all, a, b] = await cluster('a', 'b')
  const ask = await inspector(all, a!)
  const figures = { connections: 7, topics: 1, lagBytes: null, lagMs: null, trouble: null }
  const forged = { ...figures, instance: 'other', name: {}, version: 5, isAsked: true, answers: 'yes', more: 'x' }
  const answered = ask('admin_nodes', {})
  b!.relay.send('admin', Buffer.from(JSON.stringify({ type: 'answer', id: 1, answer: forged })), a!.relay.self.instance)
  const { nodes } = (await answered).response as { nodes: readonly Record<string, unknown>[] }
  const { instance, name, version, startedAt } = b!.relay.self
  expect(nodes[1]).toEqual({ instance, name, version, startedAt, isAsked: false, answers: true, ...figures })
})

test('admin messages that cannot be read are reported, and harm nothing', async () => {
  const [all, a, b] = await cluster('a', 'b')
  const faults: string[] = []
  a!.server.watch({
    ...allObservers([]),
    nodeEvent: (event) => void (event.kind === 'fault' && faults.push(event.fault.detail)),
  })
  for (const text of [
    'x',
    '[]',
    '{"type":"figures"}',
    '{"type":"disconnect","id":1}',
    '{"type":"other","id":1}',
    '{"type":"answer","id":9}',
  ])
    b!.relay.send('admin', Buffer.from(text))
  await all.pass(100)
  expect(faults).toHaveLength(5)
  const ask = await inspector(all, a!)
  expect((await ask('admin_nodes', {})).status).toBe('ok')
})
