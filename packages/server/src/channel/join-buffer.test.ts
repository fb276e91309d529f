import { NodeInProcess, openToken } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import type { Authorizer, ChangeFeed, ChangeListener, MessageStore, Replay, StoredMessage } from '../ports.ts'
import { JoinBuffer } from './join-buffer.ts'

const allow = { ok: true, broadcast: true, presence: true } as const
const authorizer: Authorizer = { read: () => Promise.resolve(allow), write: () => Promise.resolve(allow) }
const stored = (id: string): StoredMessage => ({ id, event: 'e', encoding: 'json', bytes: Buffer.from(JSON.stringify({ id })) })

/** Each transaction commits at ten times its id, and the replay sees those up to `seen`. The log ends at 100. */
const replayOf = (ids: readonly string[], seen: number): Replay => ({
  ok: true,
  messages: ids.map(stored),
  position: { log: 'l', lsn: 100n, saw: (xid) => xid <= seen },
})

/** A join that asks for replay, stopped while the database is asked. */
async function joining({ changeFeed = null, config = {} }: { changeFeed?: ChangeFeed | null; config?: object } = {}): Promise<{
  node: NodeInProcess
  socket: ReturnType<NodeInProcess['connect']>
  publish: (id: string, xid: number) => void
  answer: (ids: readonly string[], seen?: number) => Promise<string[]>
  heard: () => Promise<string[]>
}> {
  let give: (replay: Replay) => void = () => {}
  const messageStore: MessageStore = { replay: () => new Promise((resolve) => (give = resolve)) }
  const node = new NodeInProcess({}, { authorizer, messageStore, changeFeed })
  const socket = node.connect()
  const asked = { private: true, broadcast: { replay: { since: 1 } }, ...config }
  socket.send({ topic: 'realtime:room', event: 'phx_join', ref: '1', joinRef: '1', payload: { config: asked } })
  await node.settle()
  const heard = async (): Promise<string[]> => {
    await node.settle()
    return socket
      .take()
      .filter(({ event }) => event === 'broadcast')
      .map(({ payload }) => (payload as { meta: { id: string } }).meta.id)
  }
  return {
    node,
    socket,
    publish: (id, xid) =>
      void node.server.publishTrusted({
        subTopic: 'room',
        private: true,
        event: 'e',
        id,
        form: 'user',
        payload: { encoding: 'json', bytes: Buffer.from('{}') },
        commit: { log: 'l', lsn: BigInt(xid) * 10n, xid },
      }),
    answer: (ids, seen = 1) => {
      give(replayOf(ids, seen))
      return heard()
    },
    heard,
  }
}

test('what is sent while the stored messages are fetched is neither lost nor doubled (rule R4)', async () => {
  const { publish, answer, heard } = await joining()
  // Both stand before the end of the log. The replay sees one of them: the other one's transaction has not ended for others.
  publish('b', 2)
  publish('c', 3)
  expect(await answer(['a', 'b'], 2)).toEqual(['a', 'b', 'c'])
  publish('a', 1)
  publish('d', 9)
  expect(await heard()).toEqual(['d'])
})

test('what a replay has seen and left out does not come later, however late the node is (rule R4)', async () => {
  const { publish, answer, heard, node } = await joining()
  expect(await answer(['c', 'd'], 4)).toEqual(['c', 'd'])
  node.runtime.advance(3_600_000)
  for (const [at, id] of ['a', 'b', 'c', 'd', 'e'].entries()) publish(id, at + 1)
  expect(await heard()).toEqual(['e'])
})

test('behind the end of the log everything comes, whatever the ids of transactions say', async () => {
  const { publish, answer, heard } = await joining()
  await answer([], 1_000)
  publish('before', 9)
  publish('after', 10)
  expect(await heard()).toEqual(['after'])
})

test('a join that is given up leaves no topic behind', async () => {
  const { node } = await joining()
  expect(node.server.topics.size).toBe(1)
  node.server.connections.drain()
  await node.settle()
  expect(node.server.topics.size).toBe(0)
})

test('a new token does not bring a replayed message again', async () => {
  const { node, publish, answer, heard, socket } = await joining()
  expect(await answer(['a'])).toEqual(['a'])
  socket.send({ topic: 'realtime:room', event: 'access_token', payload: { access_token: openToken({ sub: 'other' }) } })
  await node.settle()
  publish('a', 1)
  publish('b', 2)
  expect(await heard()).toEqual(['b'])
})

test('an id that a sender over HTTP made up hides nothing', async () => {
  const { node, answer, heard } = await joining()
  expect(await answer(['a'])).toEqual(['a'])
  const identity = { role: 'anon', claims: {}, headers: {} }
  const payload = { encoding: 'json', bytes: Buffer.from('{}') } as const
  await node.server.publish({ subTopic: 'room', private: true, event: 'e', id: 'a', form: 'user', payload, identity })
  expect(await heard()).toEqual(['a'])
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
  publish('b', 2)
  await answer(['a'])
  listener!.change('postgres_changes', Buffer.from('{"ids":[1]}'))
  publish('c', 3)
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
  buffer.holdStored(null, { kind: 'opaque', event: 'broadcast', bytes: Buffer.alloc(2 * 1_048_576) })
  change(1_048_576)
  expect(buffer.isFull).toBe(false)
  change(1)
  expect(buffer.isFull).toBe(true)
  expect(buffer.takeAll().map(({ kind }) => kind)).toEqual(['stored', 'change', 'change'])
  expect(buffer.takeAll()).toEqual([])
})
