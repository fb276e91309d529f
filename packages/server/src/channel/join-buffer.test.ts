import { NodeInProcess, openToken } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import type { Authorizer, ChangeFeed, ChangeListener, MessageStore, StoredMessage } from '../ports.ts'
import { JoinBuffer } from './join-buffer.ts'

const allow = { ok: true, broadcast: true, presence: true } as const
const authorizer: Authorizer = { read: () => Promise.resolve(allow), write: () => Promise.resolve(allow) }
const stored = (id: string): StoredMessage => ({ id, event: 'e', encoding: 'json', bytes: Buffer.from(JSON.stringify({ id })) })

/** A join that asks for replay, stopped while the database is asked. */
async function joining({ changeFeed = null, config = {} }: { changeFeed?: ChangeFeed | null; config?: object } = {}): Promise<{
  node: NodeInProcess
  socket: ReturnType<NodeInProcess['connect']>
  publish: (id: string) => void
  answer: (ids: readonly string[]) => Promise<string[]>
}> {
  let give: (messages: readonly StoredMessage[]) => void = () => {}
  const messageStore: MessageStore = {
    replay: () => new Promise((resolve) => (give = (messages) => resolve({ ok: true, messages }))),
  }
  const node = new NodeInProcess({}, { authorizer, messageStore, changeFeed })
  const socket = node.connect()
  const asked = { private: true, broadcast: { replay: { since: 1 } }, ...config }
  socket.send({ topic: 'realtime:room', event: 'phx_join', ref: '1', joinRef: '1', payload: { config: asked } })
  await node.settle()
  const ids = (): string[] =>
    socket
      .take()
      .filter(({ event }) => event === 'broadcast')
      .map(({ payload }) => (payload as { meta: { id: string } }).meta.id)
  return {
    node,
    socket,
    publish: (id) =>
      void node.server.publishTrusted({
        subTopic: 'room',
        private: true,
        event: 'e',
        id,
        form: 'user',
        payload: { encoding: 'json', bytes: Buffer.from('{}') },
      }),
    answer: async (found) => {
      give(found.map(stored))
      await node.settle()
      return ids()
    },
  }
}

test('what is sent while the stored messages are fetched is neither lost nor doubled', async () => {
  const { publish, answer, node } = await joining()
  for (const id of ['b', 'c']) publish(id)
  // `b` was committed before the database was asked and its live copy is here already; the live copy of `a` is still to come.
  expect(await answer(['a', 'b'])).toEqual(['a', 'b', 'c'])
  for (const id of ['a', 'd']) publish(id)
  expect(await answer([])).toEqual(['d'])
  node.runtime.advance(59_000)
  publish('a')
  expect(await answer([])).toEqual([])
  node.runtime.advance(1_000)
  publish('a')
  expect(await answer([])).toEqual(['a'])
})

test('a join that is given up leaves no topic behind', async () => {
  const { node } = await joining()
  expect(node.server.topics.size).toBe(1)
  node.server.connections.drain()
  await node.settle()
  expect(node.server.topics.size).toBe(0)
})

test('a new token does not bring a replayed message again', async () => {
  const { node, publish, answer, socket } = await joining()
  expect(await answer(['a'])).toEqual(['a'])
  socket.send({ topic: 'realtime:room', event: 'access_token', payload: { access_token: openToken({ sub: 'other' }) } })
  await node.settle()
  publish('a')
  publish('b')
  expect(await answer([])).toEqual(['b'])
})

test('an id that a sender over HTTP made up hides nothing', async () => {
  const { node, answer } = await joining()
  expect(await answer(['a'])).toEqual(['a'])
  const identity = { role: 'anon', claims: {}, headers: {} }
  const payload = { encoding: 'json', bytes: Buffer.from('{}') } as const
  await node.server.publish({ subTopic: 'room', private: true, event: 'e', id: 'a', form: 'user', payload, identity })
  expect(await answer([])).toEqual(['a'])
})

test('stored messages and row changes that come while a join waits follow its reply in the order in which they came', async () => {
  let listener: ChangeListener | null = null
  const changeFeed: ChangeFeed = {
    open: (_request, opened) => {
      listener = opened
      return { setIdentity: () => {}, close: () => {} }
    },
  }
  const { node, socket, publish, answer } = await joining({
    changeFeed,
    config: { postgres_changes: [{}], postgres_changes_options: { wait: true } },
  })
  publish('b')
  await answer(['a'])
  listener!.change('postgres_changes', Buffer.from('{"ids":[1]}'))
  publish('c')
  expect(socket.received).toEqual([])
  listener!.system('ok', 'Subscribed to PostgreSQL')
  await node.settle()
  expect(socket.take().map(({ event, payload }) => [event, (payload as { meta?: { id: string } }).meta?.id])).toEqual([
    ['phx_reply', undefined],
    ['broadcast', 'a'],
    ['broadcast', 'b'],
    ['postgres_changes', undefined],
    ['broadcast', 'c'],
    ['system', undefined],
  ])
})

test('row changes up to a mebibyte are held, not counting what else is', () => {
  const buffer = new JoinBuffer()
  const change = (bytes: number): void => buffer.hold({ kind: 'change', event: 'postgres_changes', payload: Buffer.alloc(bytes) })
  buffer.holdStored('a', { kind: 'opaque', event: 'broadcast', bytes: Buffer.alloc(2 * 1_048_576) })
  change(1_048_576)
  expect(buffer.isFull).toBe(false)
  change(1)
  expect(buffer.isFull).toBe(true)
  expect(buffer.takeAll(new Set()).map(({ kind }) => kind)).toEqual(['stored', 'change', 'change'])
  expect(buffer.takeAll(new Set())).toEqual([])
})
