import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { expect, test } from 'vitest'
import { Client as RealtimeClient } from '../client.ts'
import type { Schema } from './schema.ts'

const number: Schema<number> = {
  '~standard': {
    validate: (value) =>
      typeof value === 'number' ? { value: value * 2 } : { issues: [{ message: 'not a number' }, { message: 'at all' }] },
  },
}
const slow: Schema<string> = { '~standard': { validate: (value) => Promise.resolve({ value: `slow ${String(value)}` }) } }
const broken: Schema = {
  '~standard': {
    validate: () => {
      throw new Error('the validator is broken')
    },
  },
}

test('validators change, refuse, and take their time; the order stays', async () => {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, runtime)
  const heard: unknown[] = []
  const channel = client.channel('room', { config: {}, schemas: { number, slow, broken } })
  channel.onBroadcast('*', ({ payload }) => heard.push(payload)).subscribe()
  await settle()
  const say = (event: string, payload: unknown): void => server.push('realtime:room', 'broadcast', { type: 'broadcast', event, payload })
  say('number', 1)
  say('other', 'as it is')
  expect(heard).toEqual([2, 'as it is'])
  say('slow', 'a')
  say('number', 2)
  say('number', 'x')
  say('broken', 1)
  expect(heard).toHaveLength(2)
  await settle()
  await settle()
  say('number', 3)
  expect(heard).toEqual([2, 'as it is', 'slow a', 4, 6])
  expect(runtime.errors.map(({ message }) => message)).toEqual([
    'A "number" broadcast on realtime:room was dropped: not a number; at all',
    'A "broken" broadcast on realtime:room was dropped: Error: the validator is broken',
  ])
})
