import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { Client as RealtimeClient } from '../client.ts'

/** A client with sockets that fail before they open, as a browser shows it. */
async function fail(answer: FakeRuntime['answer'], url = 'wss://user:secret@host/realtime/v1') {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  server.opens = false
  runtime.answer = answer
  const client = new RealtimeClient(url, { apikey: 'key', timeout: 3000 }, runtime)
  const errors: unknown[] = []
  client.channel('room').subscribe((_, error) => errors.push(error))
  await settle()
  runtime.socket.drop()
  await settle()
  return { runtime, server, client, errors }
}

const status = (code: number) => () => ({ status: code, statusText: '', body: '' })

describe('after a first handshake that failed without a word', () => {
  test.each([
    [401, 'unauthorized', false, 'wss://host/realtime/v1/websocket does not take the API key (401).'],
    [403, 'unauthorized', false, 'wss://host/realtime/v1/websocket does not take the API key (403).'],
    [404, 'wrong-path', false, 'No realtime server at wss://host/realtime/v1/websocket (404): its URL ends in /realtime/v1.'],
    [400, 'connection-lost', true, 'socket closed: 1006'],
    [503, 'connection-lost', true, 'socket closed: 1006'],
  ])('%i over HTTP', async (code, wanted, retryable, message) => {
    const { runtime, client, errors } = await fail(status(code))
    expect(errors).toMatchObject([{ code: wanted, retryable, message }])
    expect(client.state.kind).toBe(retryable ? 'waiting' : 'disconnected')
    expect(runtime.requests).toEqual([{ url: 'https://user:secret@host/realtime/v1/websocket?apikey=key&vsn=2.0.0', timeoutMs: 3000 }])
    if (!retryable) expect(runtime.armedTimers).toBe(0)
    await runtime.advance(60_000)
    expect(runtime.sockets.length > 1).toBe(retryable)
  })

  test('no answer: the server is tried again, and asked over HTTP once', async () => {
    const { runtime, server, client, errors } = await fail(() => Promise.reject(new Error('refused')))
    expect(errors).toMatchObject([
      { code: 'unreachable', retryable: true, message: 'No server answers at wss://host/realtime/v1/websocket.' },
    ])
    await runtime.advance(2000)
    runtime.socket.drop()
    await settle()
    expect(runtime.requests).toHaveLength(1)
    server.opens = true
    await runtime.advance(10_000)
    expect(client.state.kind).toBe('connected')
  })

  test('a silent server ends the attempt, and an answer after that counts for nothing', async () => {
    let answer = (): void => {}
    const late = new Promise<ReturnType<ReturnType<typeof status>>>((resolve) => (answer = () => resolve(status(401)())))
    const { runtime, client } = await fail(() => late)
    expect(client.state.kind).toBe('connecting')
    await runtime.advance(3000)
    const cause = { reason: 'the socket did not open in time' }
    expect(client.state).toMatchObject({ kind: 'waiting', cause })
    await runtime.advance(1000)
    expect([client.state.kind, runtime.sockets.length]).toEqual(['connecting', 2])
    answer()
    await settle()
    expect(client.state.kind).toBe('connecting')
  })

  test('disconnect() while it is asked', async () => {
    const { runtime, client } = await fail(() => new Promise(() => {}))
    expect(await client.disconnect()).toBe('ok')
    expect([client.state.kind, runtime.armedTimers]).toEqual(['disconnected', 0])
  })
})

test('a server that was there is on its way back: nothing is asked, and no path is wrong', async () => {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  runtime.answer = status(404)
  const client = new RealtimeClient('ws://host/realtime/v1', { apikey: 'key' }, runtime)
  client.connect()
  await settle()
  server.opens = false
  runtime.socket.drop()
  await runtime.advance(1000)
  runtime.socket.drop()
  await settle()
  expect([client.state.kind, runtime.requests]).toEqual(['waiting', []])
  // The package `ws` gives the status: a gateway says 404 while its server restarts.
  await runtime.advance(2000)
  runtime.socket.onerror?.({ message: 'Unexpected server response: 404' } as never)
  runtime.socket.drop()
  await settle()
  expect(client.state.kind).toBe('waiting')
})
