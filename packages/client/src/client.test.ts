import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { RealtimeClient } from './client.ts'
import type { RealtimeClientOptions } from './options.ts'

function connected(options: RealtimeClientOptions = {}): { client: RealtimeClient; runtime: FakeRuntime; server: ScriptedServer } {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime, (options.vsn ?? '2.0.0') as '2.0.0')
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'key', ...options }, runtime)
  return { client, runtime, server }
}

test('joins, broadcasts, leaves', async () => {
  const { client, runtime, server } = connected()
  const statuses: string[] = []
  const heard: unknown[] = []
  const channel = client.channel('room').onBroadcast('Move', (message) => heard.push(message))
  expect(channel.subscribe((status) => statuses.push(status))).toBe(channel)
  expect(channel.state).toBe('joining')
  expect(client.connectionState()).toBe('connecting')
  await settle()
  expect(statuses).toEqual(['SUBSCRIBED'])
  expect(runtime.socket.url).toBe('ws://localhost/socket/websocket?apikey=key&vsn=2.0.0')
  expect(runtime.socket.messages).toEqual([
    [
      expect.any(String),
      expect.any(String),
      'realtime:room',
      'phx_join',
      {
        config: { broadcast: { ack: false, self: false }, presence: { key: '', enabled: false }, postgres_changes: [], private: false },
      },
    ],
  ])
  expect(await channel.sendBroadcast('move', { x: 1 })).toBe('ok')
  expect(server.heard('broadcast')[0]!.payload).toEqual({ type: 'broadcast', event: 'move', payload: { x: 1 } })
  server.push('realtime:room', 'broadcast', { type: 'broadcast', event: 'move', payload: { x: 2 } })
  expect(heard).toEqual([{ type: 'broadcast', event: 'move', payload: { x: 2 } }])
  expect(await client.removeChannel(channel)).toBe('ok')
  expect(statuses).toEqual(['SUBSCRIBED', 'CLOSED'])
  expect(client.getChannels()).toEqual([])
  const gone = client.disconnect()
  expect(client.connectionState()).toBe('closing')
  runtime.socket.drop(1005)
  expect(await gone).toBe('ok')
  expect(runtime.armedTimers).toBe(0)
  expect(runtime.watchers).toBe(0)
})
