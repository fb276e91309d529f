import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { wakeWithApp } from './wake-with-app.ts'
import { Client as RealtimeClient } from '../client.ts'

/** As React Native has it. */
class AppState {
  listeners = new Set<(state: string) => void>()
  addEventListener(_: 'change', listener: (state: string) => void): { remove(): void } {
    this.listeners.add(listener)
    return { remove: () => void this.listeners.delete(listener) }
  }
  become(state: string): void {
    for (const listener of this.listeners) listener(state)
  }
}

test('an app in the foreground again probes its connection at once, and makes a new one when there is no answer', async () => {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, runtime)
  const appState = new AppState()
  const stop = wakeWithApp(client, appState)
  const channel = client.channel('room').subscribe()
  await settle()
  const beats = (): number => server.heard('heartbeat').length
  for (const state of ['inactive', 'background']) appState.become(state)
  await settle()
  expect(beats()).toBe(0)

  // The system has cut the socket without a word.
  server.onHeartbeat = () => null
  appState.become('active')
  await settle()
  expect(beats()).toBe(1)
  await runtime.advance(10_000)
  expect(client.state).toMatchObject({ kind: 'waiting', cause: { reason: 'heartbeat timeout' } })
  appState.become('active')
  await settle()
  expect([runtime.sockets.length, channel.state]).toEqual([2, 'joined'])

  stop()
  expect(appState.listeners.size).toBe(0)
})
