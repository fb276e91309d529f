import { RealtimeError } from '@tidewire/protocol'
import { RealtimeClient as Peer } from '@supabase/realtime-js'
import { FakeRuntime } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { Client as RealtimeClient } from './client.ts'
import { resolveOptions } from './options.ts'

const runtime = new FakeRuntime()
class Transport {
  close(): void {}
}

describe.each([
  'ws://x.co/socket',
  'wss://x.co/realtime/v1',
  'http://x.co/socket',
  'https://x.co/realtime/v1/',
  'wss://x.co/socket/websocket',
  'ws://x.co/websocket',
  'ws://x.co:4000',
  'ws://x.co/socket/',
  'wss://x.co/a?b=c',
])('%s', (endpoint) => {
  test.each([
    { params: { apikey: 'k y&', eventsPerSecond: 10, nest: { a: 1, b: [2] } }, logLevel: 'info' },
    { params: { apikey: 'k' }, vsn: '1.0.0', log_level: 'error' },
  ])('has the URLs of realtime-js', (options) => {
    const ours = new RealtimeClient(endpoint, options, runtime)
    const theirs = new Peer(endpoint, { ...options, transport: Transport as never })
    expect(ours.endpointURL()).toBe(theirs.endpointURL())
    expect(ours.endPoint).toBe(theirs.endPoint)
    expect(ours.httpEndpoint).toBe(theirs.httpEndpoint)
    expect(ours.apiKey).toBe(theirs.apiKey)
    expect([ours.timeout, ours.heartbeatIntervalMs, ours.vsn]).toEqual([theirs.timeout, theirs.heartbeatIntervalMs, theirs.vsn])
  })
})

test('the key may stand beside or in the parameters; options are not written to', () => {
  const options = Object.freeze({ apikey: 'k', params: Object.freeze({ a: 1 }) })
  expect(new RealtimeClient('ws://x/socket', options, runtime).endpointURL()).toBe('ws://x/socket/websocket?apikey=k&a=1&vsn=2.0.0')
})

test('all faults at once', () => {
  const fault = (run: () => unknown): string => {
    try {
      run()
      return 'none'
    } catch (error) {
      expect(error).toBeInstanceOf(RealtimeError)
      return (error as RealtimeError).message
    }
  }
  expect(fault(() => new RealtimeClient('ws://x/socket', {}, runtime))).toBe('API key is required to connect to Realtime')
  expect(fault(() => new RealtimeClient('ws://x/socket', { apikey: 'k', vsn: '3.0.0' }, runtime))).toBe(
    'Unsupported serializer version: 3.0.0',
  )
  expect(fault(() => resolveOptions('nope', { vsn: '3.0.0', timeout: -1, heartbeatIntervalMs: NaN }, runtime))).toBe(
    'API key is required to connect to Realtime; Unsupported serializer version: 3.0.0; "nope" is no URL such as ws://localhost:4000/realtime/v1; timeout must be milliseconds below 2^31; heartbeatIntervalMs must be milliseconds below 2^31',
  )
})
