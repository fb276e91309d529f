/** The client of Phoenix, unmodified from npm, against our server: the protocol below ours. */
import { Presence, Socket, type Channel } from 'phoenix'
import { startNode, Waiter, type RunningNode } from '@tidewire/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'

let node: RunningNode
beforeAll(async () => {
  node = await startNode()
})
afterAll(() => node.stop())

function connect(): Socket {
  const socket = new Socket(node.socketUrl, { params: { apikey: node.anonKey }, transport: WebSocket, vsn: '2.0.0' })
  socket.connect()
  return socket
}

function reply(push: ReturnType<Channel['push']>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    push
      .receive('ok', resolve)
      .receive('error', (response) => reject(new Error(JSON.stringify(response))))
      .receive('timeout', () => reject(new Error('timeout')))
  })
}

test('join, push with a reply, receive, presence, leave', async () => {
  const waiter = new Waiter()
  const [one, two] = [connect(), connect()]
  const config = { config: { broadcast: { ack: true }, presence: { enabled: true, key: 'one' } } }
  const [a, b] = [one.channel('realtime:phoenix', config), two.channel('realtime:phoenix', {})]
  const received: unknown[] = []
  b.on('broadcast', (payload) => {
    received.push(payload)
    waiter.changed()
  })
  const presence = new Presence(a)
  presence.onSync(waiter.changed)
  expect(await reply(a.join())).toEqual({ postgres_changes: [] })
  await reply(b.join())
  expect(await reply(a.push('broadcast', { type: 'broadcast', event: 'say', payload: 1 }))).toEqual({})
  await waiter.until(() => received.length === 1)
  expect(received).toEqual([{ type: 'broadcast', event: 'say', payload: 1 }])
  expect(await reply(a.push('presence', { type: 'presence', event: 'track', payload: { x: 1 } }))).toEqual({})
  await waiter.until(() => presence.list((key) => key).length === 1)
  expect(presence.list((key, { metas }) => [key, (metas[0] as { x: number }).x])).toEqual([['one', 1]])
  const closed = new Promise<void>((resolve) => void b.onClose(() => resolve()))
  await reply(b.leave())
  await closed
  one.disconnect()
  two.disconnect()
})

test('a join that is refused says why, and its socket goes on at once', async () => {
  const socket = connect()
  await expect(reply(socket.channel('realtime:', {}).join())).rejects.toThrow('TopicNameRequired')
  await expect(reply(socket.channel('other:topic', {}).join())).rejects.toThrow('unmatched topic')
  await reply(socket.channel('realtime:fine', { config: {} }).join())
  socket.disconnect()
})

test('an opaque binary push is forwarded as it is', async () => {
  const waiter = new Waiter()
  const [one, two] = [connect(), connect()]
  const [a, b] = [one.channel('realtime:opaque', { config: { broadcast: { ack: true } } }), two.channel('realtime:opaque', { config: {} })]
  const received: ArrayBuffer[] = []
  b.on('broadcast', (payload) => {
    received.push(payload as ArrayBuffer)
    waiter.changed()
  })
  await reply(a.join())
  await reply(b.join())
  await reply(a.push('broadcast', Uint8Array.of(1, 2, 3).buffer))
  await waiter.until(() => received.length === 1)
  expect(new Uint8Array(received[0]!)).toEqual(Uint8Array.of(1, 2, 3))
  one.disconnect()
  two.disconnect()
})
