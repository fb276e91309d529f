/** Faults that realtime clients are known for, one test each: they are not here. */
import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { Client as RealtimeClient } from './client.ts'
import type { RealtimeClientOptions } from './options.ts'

function setup(options: RealtimeClientOptions = {}): { client: RealtimeClient; runtime: FakeRuntime; server: ScriptedServer } {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  return { client: new RealtimeClient('ws://localhost/socket', { apikey: 'key', ...options }, runtime), runtime, server }
}

const tokenOf = (payload: unknown): unknown => (payload as { readonly access_token?: unknown }).access_token

describe('the first join has the token of the user', () => {
  test.each([0, 5, 250, 5000])('when the callback takes %d ms', async (delayMs) => {
    const runtime = new FakeRuntime()
    const server = new ScriptedServer(runtime)
    const accessToken = (): Promise<string> => new Promise((resolve) => runtime.setTimer(() => resolve('jwt'), delayMs))
    const client = new RealtimeClient('ws://localhost/socket', { apikey: 'key', accessToken }, runtime)
    client.channel('room').subscribe()
    await runtime.advance(delayMs + 1)
    expect(server.heard('phx_join').map(({ payload }) => tokenOf(payload))).toEqual(['jwt'])
  })

  test('and each later join has the newest', async () => {
    let count = 0
    const { client, runtime, server } = setup({ accessToken: () => Promise.resolve(`jwt${++count}`) })
    client.channel('room').subscribe()
    await settle()
    runtime.socket.drop()
    await runtime.advance(1000)
    const tokens = server.heard('phx_join').map(({ payload }) => tokenOf(payload))
    expect(tokens).toHaveLength(2)
    expect(tokens[0]).not.toBe(tokens[1])
  })

  test('a token that changes while joining is sent once joined', async () => {
    const { client, server } = setup()
    server.onJoin = (message) => {
      queueMicrotask(() => void client.setAuth('second'))
      return { status: 'ok', response: { postgres_changes: [] as unknown[], to: message.ref } }
    }
    await client.setAuth('first')
    client.channel('room').subscribe()
    await settle()
    expect(tokenOf(server.heard('phx_join')[0]!.payload)).toBe('first')
    expect(server.heard('access_token').map(({ payload }) => tokenOf(payload))).toEqual(['second'])
  })

  test('a callback that hangs or throws is an error with a name, and the join is tried again', async () => {
    const errors: unknown[] = []
    let calls = 0
    const { client, runtime, server } = setup({
      accessTokenTimeoutMs: 100,
      accessToken: () => {
        calls++
        if (calls === 1) throw new Error('signed out')
        if (calls === 2) return new Promise(() => {})
        return Promise.resolve('jwt')
      },
    })
    const channel = client.channel('room').subscribe((status, error) => error && errors.push([status, error.code]))
    await runtime.advance(10_000)
    expect(channel.state).toBe('joined')
    expect(errors.length).toBeGreaterThan(0)
    expect(new Set(errors.map((error) => JSON.stringify(error)))).toEqual(new Set(['["CHANNEL_ERROR","token-unavailable"]']))
    expect(server.heard('phx_join').map(({ payload }) => tokenOf(payload))).toEqual(['jwt'])
  })
})

test('handlers do not pile up over reconnects', async () => {
  const { client, runtime } = setup()
  let heard = 0
  client
    .channel('room')
    .onBroadcast('*', () => heard++)
    .subscribe()
  for (let cut = 0; cut < 6; cut++) {
    await settle()
    runtime.socket.drop()
    await runtime.advance(11_000)
  }
  const { socket } = runtime
  socket.receive([null, null, 'realtime:room', 'broadcast', { type: 'broadcast', event: 'e', payload: {} }])
  expect(heard).toBe(1)
  expect(runtime.watchers).toBe(1)
  expect(runtime.armedTimers).toBe(1)
})

test('a send that is not awaited leaves nothing behind', async () => {
  const { client, runtime, server } = setup()
  const channel = client.channel('room').subscribe()
  await settle()
  server.onPush = () => null
  const timers = runtime.armedTimers
  for (let n = 0; n < 1000; n++) expect(await channel.sendBroadcast('e', { n })).toBe('ok')
  expect(runtime.armedTimers).toBe(timers)
})

describe('every promise settles', () => {
  test('when too many wait for the join', async () => {
    const { client, server } = setup()
    server.opens = false
    const channel = client.channel('room').subscribe()
    const results = Array.from({ length: 110 }, () => channel.track({}))
    expect(await Promise.all(results.slice(0, 10))).toEqual(Array(10).fill('error'))
    await client.removeChannel(channel)
    expect(await Promise.all(results)).toEqual(Array(110).fill('error'))
  })

  test('when the channel is removed, the connection lost or the client disconnected mid-push', async () => {
    const { client, runtime, server } = setup()
    server.onPush = () => null
    const a = client.channel('a', { config: { broadcast: { ack: true } } }).subscribe()
    const b = client.channel('b').subscribe()
    const c = client.channel('c').subscribe()
    await settle()
    const removed = a.sendBroadcast('e', {})
    await client.removeChannel(a)
    expect(await removed).toBe('error')
    const lost = b.track({})
    runtime.socket.drop()
    expect(await lost).toBe('timed out')
    const waiting = c.track({})
    void client.disconnect()
    expect(await waiting).toBe('error')
    expect(runtime.armedTimers).toBe(0)
  })

  test('when the server says phx_close or phx_error mid-push', async () => {
    const { client, server } = setup()
    server.onPush = () => null
    for (const [event, wanted] of [
      ['phx_close', 'error'],
      ['phx_error', 'timed out'],
    ] as const) {
      const channel = client.channel(event).subscribe()
      await settle()
      const tracked = channel.track({})
      server.send(server.joinRef(channel.topic), null, channel.topic, event, {})
      expect(await tracked).toBe(wanted)
    }
  })
})

describe('a channel', () => {
  test('can be subscribed again after unsubscribe, and after the server closed it', async () => {
    const { client, server } = setup()
    const statuses: string[] = []
    const channel = client.channel('room').subscribe((status) => statuses.push(status))
    await settle()
    await channel.unsubscribe()
    channel.subscribe((status) => statuses.push(status))
    await settle()
    server.send(server.joinRef('realtime:room'), null, 'realtime:room', 'phx_close', {})
    channel.subscribe((status) => statuses.push(status))
    await settle()
    expect(statuses).toEqual(['SUBSCRIBED', 'CLOSED', 'SUBSCRIBED', 'CLOSED', 'SUBSCRIBED'])
    expect(client.getChannels()).toEqual([channel])
  })

  test('notifies every subscriber, also one that comes when it is joined', async () => {
    const { client, server } = setup()
    const heard: string[] = []
    const channel = client.channel('room').subscribe((status) => heard.push(`1 ${status}`))
    channel.subscribe((status) => heard.push(`2 ${status}`))
    await settle()
    channel.subscribe((status) => heard.push(`3 ${status}`))
    await settle()
    expect(heard).toEqual(['1 SUBSCRIBED', '2 SUBSCRIBED', '3 SUBSCRIBED'])
    expect(server.heard('phx_join')).toHaveLength(1)
  })

  test('throws when another channel has its topic meanwhile', async () => {
    const { client } = setup()
    const first = client.channel('room').subscribe()
    await first.unsubscribe()
    client.channel('room').subscribe()
    expect(() => first.subscribe()).toThrow('Another channel has the topic realtime:room')
  })

  test('that was closed for an expired token comes back with a new one', async () => {
    let count = 0
    const statuses: unknown[] = []
    const { client, runtime, server } = setup({ accessToken: () => Promise.resolve(`jwt${++count}`) })
    const channel = client.channel('room').subscribe((status, error) => statuses.push(error ? error.code : status))
    await settle()
    const joinRef = server.joinRef('realtime:room')
    server.send(joinRef, null, 'realtime:room', 'system', {
      extension: 'system',
      status: 'error',
      message: 'Token has expired 0 seconds ago',
      channel: 'room',
    })
    server.send(joinRef, joinRef, 'realtime:room', 'phx_close', {})
    await runtime.advance(1000)
    expect(channel.state).toBe('joined')
    expect(statuses).toEqual(['SUBSCRIBED', 'token-expired', 'SUBSCRIBED'])
    const [first, second] = server.heard('phx_join').map(({ payload }) => tokenOf(payload))
    expect(first).not.toBe(second)
  })
})

test('a listener or status callback that throws stops no other and is reported', async () => {
  const { client, runtime, server } = setup({
    heartbeatCallback: () => {
      throw new Error('heartbeat')
    },
  })
  const heard: string[] = []
  const channel = client
    .channel('room')
    .onBroadcast('e', () => {
      throw new Error('listener')
    })
    .onBroadcast('e', () => heard.push('second'))
  channel.subscribe(() => {
    throw new Error('status')
  })
  channel.subscribe((status) => heard.push(status))
  await settle()
  server.push('realtime:room', 'broadcast', { type: 'broadcast', event: 'e', payload: {} })
  await client.sendHeartbeat()
  await settle()
  expect(heard).toEqual(['SUBSCRIBED', 'second'])
  expect(runtime.errors.map(({ cause }) => (cause as Error).message)).toEqual(['status', 'listener', 'heartbeat', 'heartbeat'])
})

test('a logger and a wait that throw, or a wait that is none, stop nothing and are reported', async () => {
  const { client, runtime, server } = setup({
    logger: () => {
      throw new Error('logger')
    },
    reconnectAfterMs: (tries) => {
      if (tries === 1) throw new Error('wait')
      return NaN
    },
  })
  const statuses: string[] = []
  client.channel('room').subscribe((status) => statuses.push(status))
  await settle()
  server.opens = false
  runtime.socket.drop()
  await runtime.advance(1000)
  server.opens = true
  const { length } = runtime.sockets
  runtime.socket.drop()
  expect(client.state).toMatchObject({ kind: 'waiting', attempt: 2, retryInMs: expect.closeTo(1000, -4) as number })
  await runtime.advance(2000)
  expect([statuses, client.isConnected()]).toEqual([['SUBSCRIBED', 'CHANNEL_ERROR', 'SUBSCRIBED'], true])
  expect(runtime.sockets).toHaveLength(length + 1)
  expect(new Set(runtime.errors.map(({ cause }) => (cause as Error).message))).toEqual(new Set(['logger', 'wait']))
})

test('what a socket does not take is not said to be sent', async () => {
  const { client, runtime, server } = setup()
  const channel = client.channel('room').subscribe()
  await settle()
  const { socket } = runtime
  // The browser knows that the socket is closing before it says so.
  socket.readyState = 2
  socket.send = () => {}
  expect(await channel.sendBroadcast('e', {})).toBe('timed out')
  socket.readyState = 1
  socket.send = () => {
    throw new Error('the buffer is full')
  }
  expect(await channel.sendBroadcast('e', {})).toBe('timed out')
  expect(await channel.track({})).toBe('timed out')
  await client.setAuth('new')
  expect([server.heard('broadcast'), server.heard('access_token'), runtime.errors]).toEqual([[], [], []])
  socket.drop()
  await runtime.advance(1000)
  expect([channel.state, tokenOf(server.heard('phx_join').at(-1)!.payload)]).toEqual(['joined', 'new'])
})

test('malformed frames of every kind are logged and dropped', async () => {
  const log: string[] = []
  const { client, runtime } = setup({ logger: (kind, text) => kind === 'error' && log.push(text) })
  const channel = client.channel('room').subscribe()
  await settle()
  const frames = ['{', '[]', '[1,2,3]', 'null', '[null,null,5,"x",{}]', new Uint8Array(), new Uint8Array([9, 9]), new Uint8Array([4, 200])]
  for (const frame of frames) runtime.socket.receive(frame)
  for (const message of [
    [null, null, 'realtime:unknown', 'broadcast', {}],
    ['99', '99', 'realtime:room', 'phx_reply', { status: 'ok', response: {} }],
    [null, '99', 'realtime:room', 'phx_reply', null],
    [null, null, 'realtime:room', 'presence_state', 5],
    [null, null, 'realtime:room', 'system', null],
    [null, null, 'realtime:room', 'broadcast', null],
    [null, null, 'phoenix', 'phx_reply', null],
  ])
    runtime.socket.receive(message)
  expect(log).toHaveLength(frames.length)
  expect([channel.state, runtime.errors]).toEqual(['joined', []])
})

test('of a server that answers twice the first answer counts', async () => {
  const { client, runtime, server } = setup()
  const notified: unknown[] = []
  client.onHeartbeat((...news) => notified.push(news))
  const channel = client.channel('room', { config: { broadcast: { ack: true } } }).subscribe((status) => notified.push(status))
  await settle()
  const again = (event: string, status: string): void => server.reply(server.heard(event).at(-1)!, status, {})
  again('phx_join', 'error')
  again('phx_join', 'ok')
  const taken = channel.sendBroadcast('e', {})
  await settle()
  again('broadcast', 'error')
  server.onPush = () => ({ status: 'error', response: {} })
  const refused = channel.sendBroadcast('e', {})
  await settle()
  again('broadcast', 'ok')
  await client.sendHeartbeat()
  await settle()
  again('heartbeat', 'error')
  expect([await taken, await refused, channel.state]).toEqual(['ok', 'error', 'joined'])
  expect(notified).toEqual(['SUBSCRIBED', ['sent'], ['ok', 0]])
  // Only the next heartbeat is waited for: neither the join nor a push is.
  expect([runtime.armedTimers, runtime.errors]).toEqual([1, []])
})

test('presence is tracked again after a rejoin, with what was tracked last, until it is untracked', async () => {
  const { client, runtime, server } = setup()
  const channel = client.channel('room').subscribe()
  await channel.track({ n: 1 })
  await channel.track({ n: 2 })
  runtime.socket.drop()
  await runtime.advance(1000)
  const events = (): unknown[] => server.heard('presence').map(({ payload }) => payload)
  expect(events().slice(2)).toEqual([{ type: 'presence', event: 'track', payload: { n: 2 } }])
  await channel.untrack()
  runtime.socket.drop()
  await runtime.advance(1000)
  expect(channel.state).toBe('joined')
  expect(events()).toHaveLength(4)
})

describe('what cannot be sent rejects with its own reason', () => {
  test.each([
    ['bytes under a long name', 'x'.repeat(300), new Uint8Array(1), 'name-too-long'],
    ['a cycle', 'e', ((cycle: { self?: unknown }) => (cycle.self = cycle))({}), 'not-serializable'],
    ['a BigInt', 'e', { n: 1n }, 'not-serializable'],
  ])('%s', async (_, event, payload, code) => {
    for (const ack of [true, false]) {
      const { client, runtime } = setup()
      const channel = client.channel('room', { config: { broadcast: { ack } } }).subscribe()
      await settle()
      const timers = runtime.armedTimers
      await expect(channel.sendBroadcast(event, payload)).rejects.toMatchObject({ code })
      expect(runtime.armedTimers).toBe(timers)
      expect(await channel.sendBroadcast('e', {})).toBe('ok')
    }
  })
})

test.each([
  ['Uint8Array', new Uint8Array([0, 1, 2, 3]).subarray(1, 3)],
  ['ArrayBuffer', new Uint8Array([1, 2]).buffer],
  ['DataView', new DataView(new Uint8Array([0, 1, 2, 3]).buffer, 1, 2)],
])('a %s is sent as bytes', async (_, payload) => {
  const { client, server } = setup()
  const channel = client.channel('room').subscribe()
  await settle()
  await channel.sendBroadcast('e', payload)
  expect(server.heard('broadcast')[0]!.payload).toEqual({ type: 'broadcast', event: 'e', payload: new Uint8Array([1, 2]) })
})

describe('without a WebSocket', () => {
  test('the constructor does not throw; connecting fails with a name and may be tried again', async () => {
    const { client, runtime } = setup()
    const works = runtime.webSocket
    runtime.webSocket = () => Promise.reject(new Error('there is none'))
    const errors: unknown[] = []
    const channel = client.channel('room').subscribe((_, error) => error && errors.push(error.code))
    await settle()
    expect([errors, client.connectionState(), runtime.armedTimers]).toEqual([['no-transport'], 'closed', 0])
    runtime.webSocket = works
    client.connect()
    await settle()
    expect(channel.state).toBe('joined')
  })

  test('one that is loaded late connects late; disconnecting meanwhile is heard', async () => {
    const { client, runtime } = setup()
    const works = runtime.webSocket
    let load = (): void => {}
    runtime.webSocket = () => new Promise((resolve) => (load = () => resolve(works())))
    client.connect()
    expect(client.connectionState()).toBe('connecting')
    expect(await client.disconnect()).toBe('ok')
    load()
    await settle()
    expect(runtime.sockets).toHaveLength(0)
    client.connect()
    load()
    await settle()
    expect(client.connectionState()).toBe('open')
  })

  test.each([
    [
      'a transport that throws',
      () => {
        throw new Error('blocked by policy')
      },
    ],
  ])('%s', async (_, webSocket) => {
    const { client, runtime } = setup()
    runtime.webSocket = webSocket
    client.connect()
    expect([client.connectionState(), runtime.armedTimers]).toEqual(['closed', 0])
  })
})

test('a callback that disconnects while the connection is being lost leaves no timer and no socket', async () => {
  const { client, runtime } = setup()
  client.channel('room').subscribe((status) => status === 'CHANNEL_ERROR' && void client.disconnect())
  await settle()
  runtime.socket.drop()
  await settle()
  expect([client.connectionState(), runtime.armedTimers, runtime.watchers]).toEqual(['closed', 0, 0])
})
