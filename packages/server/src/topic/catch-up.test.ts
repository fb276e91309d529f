import { NodeInProcess } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import type { Authorizer, MessageStore, StoredMessage } from '../ports.ts'

const allow = { ok: true, broadcast: true, presence: true } as const
const authorizer: Authorizer = { read: () => Promise.resolve(allow), write: () => Promise.resolve(allow) }
const stored = (id: string): StoredMessage => ({ id, event: 'e', encoding: 'json', bytes: Buffer.from(JSON.stringify({ id })) })

/** A join that asks for replay, stopped while the database is asked. */
async function joining(): Promise<{
  node: NodeInProcess
  publish: (id: string) => void
  answer: (ids: readonly string[]) => Promise<string[]>
}> {
  let give: (messages: readonly StoredMessage[]) => void = () => {}
  const messageStore: MessageStore = {
    replay: () => new Promise((resolve) => (give = (messages) => resolve({ ok: true, messages }))),
  }
  const node = new NodeInProcess({}, { authorizer, messageStore })
  const socket = node.connect()
  const config = { private: true, broadcast: { replay: { since: 1 } } }
  socket.send({ topic: 'realtime:room', event: 'phx_join', ref: '1', joinRef: '1', payload: { config } })
  await node.settle()
  const ids = (): string[] =>
    socket
      .take()
      .filter(({ event }) => event === 'broadcast')
      .map(({ payload }) => (payload as { meta: { id: string } }).meta.id)
  return {
    node,
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
  node.runtime.advance(61_000)
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
