import { ADMIN_ROLE, ADMIN_TOPIC, type AdminLog, type AdminState, type AdminTick, type AdminTopicDetail } from '@tidewire/protocol'
import { ClusterInProcess, openToken, openVerifier, type ClusterNode, type SocketInProcess } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import type { AdminPorts, TokenVerifier } from '../ports.ts'

const adminVerifier: TokenVerifier = {
  verify: (token) =>
    token.startsWith('admin:') ? openVerifier.verify(token.slice(6)) : Promise.resolve({ ok: false, fault: { code: 'signature' } }),
}
const admin: AdminPorts = { verifier: adminVerifier, version: '1' }
const KEY = `admin:${openToken({ role: ADMIN_ROLE })}`
const isSibling = ({ name }: { readonly name: string }): boolean => name.startsWith('n.')

/** Two processes behind one port, and another node. */
async function fleet(): Promise<[ClusterInProcess, ClusterNode, ClusterNode, ClusterNode]> {
  const all = new ClusterInProcess()
  const one = all.add('n.1', {}, { admin, processes: { prefix: '1.', isSibling } })
  const two = all.add('n.2', {}, { admin, processes: { prefix: '2.', isSibling } })
  const other = all.add('other', {}, { admin })
  await all.meet()
  await all.pass(2_000)
  return [all, one, two, other]
}

async function join(all: ClusterInProcess, node: ClusterNode, name: string): Promise<SocketInProcess> {
  const socket = node.connect('2.0.0', openToken({ sub: name }))
  const config = { presence: { enabled: true, key: name } }
  socket.send({ topic: 'realtime:room', event: 'phx_join', ref: '1', joinRef: '1', payload: { config } })
  await all.pass(50)
  socket.send({ topic: 'realtime:room', event: 'presence', joinRef: '1', payload: { type: 'presence', event: 'track', payload: { name } } })
  await all.pass(50)
  return socket
}

async function ask(all: ClusterInProcess, socket: SocketInProcess, event: string, payload: object): Promise<unknown> {
  const ref = `${event} ${socket.received.length}`
  socket.send({ topic: ADMIN_TOPIC, event, ref, joinRef: 'j', payload })
  await all.until(() => socket.received.some((message) => message.ref === ref))
  return (socket.received.find((message) => message.ref === ref)!.payload as { response: unknown }).response
}

const notified = <Payload>(socket: SocketInProcess, event: string): Payload[] =>
  socket.received.filter((message) => message.event === event).map(({ payload }) => payload as Payload)

test('an inspector of one process sees all that serve the port as one server, and no other node (rule I8)', async () => {
  const [all, one, two, other] = await fleet()
  const [here, there] = [await join(all, one, 'here'), await join(all, two, 'there')]
  await join(all, other, 'elsewhere')
  const inspector = one.connect()
  await ask(all, inspector, 'phx_join', { access_token: KEY })
  await all.pass(200)
  const state = notified<AdminState>(inspector, 'admin_state').at(-1)!
  expect(state.topics).toEqual([{ topic: 'room', private: false, members: 2 }])
  expect(state.connections.map(({ id, claims }) => [id, claims['sub']])).toEqual([
    ['1.1', 'here'],
    ['1.2', undefined],
    ['2.1', 'there'],
  ])
  await all.pass(1_200)
  expect(notified<AdminTick>(inspector, 'admin_tick').at(-1)).toMatchObject({ healthy: true, connections: 3, channels: 2 })

  inspector.take()
  const say = { type: 'broadcast', event: 'hello', payload: {} }
  for (const socket of [here, there]) socket.send({ topic: 'realtime:room', event: 'broadcast', joinRef: '1', payload: say })
  const late = await join(all, two, 'late')
  await all.pass(1_200)
  const rows = notified<AdminLog>(inspector, 'admin_log').flatMap((log) => log.rows)
  expect(
    rows
      .filter(({ event }) => event === 'hello')
      .map(({ connection }) => connection)
      .sort(),
  ).toEqual(expect.arrayContaining(['1.1', '2.1']))
  const ids = rows.map(({ id }) => id)
  expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  expect(new Set(ids).size).toBe(ids.length)
  const topics = notified<AdminTick>(inspector, 'admin_tick').flatMap((tick) => tick.topics)
  expect(topics.at(-1)).toEqual({ topic: 'room', private: false, members: 3 })

  const detail = (await ask(all, inspector, 'admin_topic', { topic: 'room', private: false })) as AdminTopicDetail
  expect(detail).toMatchObject({ members: 3, connections: ['1.1', '2.1', '2.2'] })
  expect(detail.presences.map(({ key }) => key)).toEqual(['here', 'there', 'late'])
  const question = { about: 'topic', user: { connection: '2.2' }, topic: 'room', private: false }
  expect(await ask(all, inspector, 'admin_why', question)).toMatchObject({ allowed: true })
  expect(await ask(all, inspector, 'admin_why', { ...question, user: { connection: '2.9' } })).toMatchObject({
    reason: expect.stringContaining('UnknownConnection') as string,
  })
  expect(await ask(all, inspector, 'admin_disconnect', { connection: '2.2' })).toEqual({ disconnected: 1, silent: [] })
  expect(late.closed).toMatchObject({ code: 1008 })
})

test('a process that ends is forgotten', async () => {
  const [all, one, two] = await fleet()
  await join(all, two, 'there')
  const inspector = one.connect()
  await ask(all, inspector, 'phx_join', { access_token: KEY })
  await all.pass(1_000)
  await two.server.close()
  await all.pass(8_000)
  expect(notified<AdminState>(inspector, 'admin_state').at(-1)!.topics).toEqual([])
  expect(notified<AdminTick>(inspector, 'admin_tick').at(-1)).toMatchObject({ connections: 1 })
})

/** Messages that `from` sent to `to` alone. */
function sentTo(to: ClusterNode, from: ClusterNode): number {
  return [...from.end.published].find(([subject]) => subject.endsWith(`.n.${to.relay.self.instance}`))?.[1] ?? 0
}

test.each(['left', 'was killed with its process'])('after an inspector %s, the other processes stop sending', async (how) => {
  const [all, one, two] = await fleet()
  const inspector = one.connect()
  await ask(all, inspector, 'phx_join', { access_token: KEY })
  await all.pass(1_000)
  const before = sentTo(one, two)
  await all.pass(2_000)
  expect(sentTo(one, two)).toBeGreaterThan(before)
  if (how === 'left') inspector.disconnect()
  else one.end.cut()
  await all.pass(how === 'left' ? 500 : 16_000)
  const after = sentTo(one, two)
  await all.pass(5_000)
  expect(sentTo(one, two)).toBe(after)
})
