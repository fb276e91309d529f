import { RealtimeError } from '@tidewire/protocol'
import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { RealtimeChannel } from './channel.ts'
import { Client as RealtimeClient } from './client.ts'
import type { RealtimeClientOptions } from './options.ts'

interface Setup {
  readonly client: RealtimeClient
  readonly runtime: FakeRuntime
  readonly server: ScriptedServer
}

function setup(options: RealtimeClientOptions = {}): Setup {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime, options.vsn === '1.0.0' ? '1.0.0' : '2.0.0')
  return { client: new RealtimeClient('ws://localhost/socket', { apikey: 'key', ...options }, runtime), runtime, server }
}

/** Nothing is left that would keep a process or a page busy. */
async function expectNothingLeft({ client, runtime }: Setup): Promise<void> {
  const gone = client.disconnect()
  for (const socket of runtime.sockets) socket.drop(1005)
  expect(await gone).toBe('ok')
  await settle()
  expect(runtime.armedTimers).toBe(0)
  expect(runtime.watchers).toBe(0)
}

const joinFrame = (payload: object): unknown[] => [expect.any(String), expect.any(String), 'realtime:room', 'phx_join', payload]

describe.each(['1.0.0', '2.0.0'])('version %s', (vsn) => {
  test('joins, broadcasts both ways, leaves', async () => {
    const { client, runtime, server } = setup({ vsn })
    const statuses: string[] = []
    const heard: unknown[] = []
    const channel = client.channel('room').onBroadcast('Move', (message) => heard.push(message))
    expect(channel.subscribe((status) => statuses.push(status))).toBe(channel)
    expect([channel.state, client.connectionState()]).toEqual(['joining', 'connecting'])
    await settle()
    expect(statuses).toEqual(['SUBSCRIBED'])
    expect(runtime.socket.url).toBe(`ws://localhost/socket/websocket?apikey=key&vsn=${vsn}`)
    expect(await channel.sendBroadcast('move', { x: 1 })).toBe('ok')
    expect(server.heard('broadcast')[0]!.payload).toEqual({ type: 'broadcast', event: 'move', payload: { x: 1 } })
    // A stream, of which the later ones are read by their heads.
    for (const x of [2, 3, 4]) server.push('realtime:room', 'broadcast', { type: 'broadcast', event: 'move', payload: { x } })
    expect(heard).toEqual([2, 3, 4].map((x) => ({ type: 'broadcast', event: 'move', payload: { x } })))
    expect(await client.removeChannel(channel)).toBe('ok')
    expect(statuses).toEqual(['SUBSCRIBED', 'CLOSED'])
    expect(client.getChannels()).toEqual([])
    await expectNothingLeft({ client, runtime, server })
  })

  test('the end of an older join of the topic does not end the new one', async () => {
    const { client, server } = setup({ vsn })
    const channel = client.channel('room').subscribe()
    await settle()
    const old = server.joinRef('realtime:room')
    await channel.unsubscribe()
    channel.subscribe()
    await settle()
    if (vsn === '1.0.0') server.send(null, old, 'realtime:room', 'phx_close', {})
    else server.send(old, old, 'realtime:room', 'phx_close', {})
    expect(channel.state).toBe('joined')
    const current = server.joinRef('realtime:room')
    server.send(vsn === '1.0.0' ? null : current, current, 'realtime:room', 'phx_close', {})
    expect(channel.state).toBe('closed')
  })
})

describe('the join', () => {
  test('says what realtime-js says', async () => {
    const { client, runtime } = setup()
    client.channel('room').subscribe()
    await settle()
    expect(runtime.socket.messages).toEqual([
      joinFrame({
        config: { broadcast: { ack: false, self: false }, presence: { key: '', enabled: false }, postgres_changes: [], private: false },
      }),
    ])
    runtime.socket.sent = []
    await client.setAuth('jwt')
    await client.channel('room').unsubscribe()
    runtime.socket.sent = []
    client
      .channel('room', { config: { broadcast: { ack: true }, presence: { key: 'k' }, private: true } })
      .on('presence', { event: 'sync' }, () => {})
      .onPostgresChanges('*', { schema: 'public', table: 't', filter: { build: () => 'id=eq.1' }, select: ['a'] }, () => {})
      .onPostgresChanges('INSERT', { schema: 'public' }, () => {})
      .onPostgresChanges('INSERT', { schema: 'public' }, () => {})
      .subscribe()
    expect(runtime.socket.messages).toEqual([
      joinFrame({
        config: {
          broadcast: { ack: true },
          presence: { key: 'k', enabled: true },
          postgres_changes: [
            { event: '*', schema: 'public', table: 't', filter: 'id=eq.1', select: ['a'] },
            { event: 'INSERT', schema: 'public' },
          ],
          private: true,
          postgres_changes_options: { positions: true },
        },
        access_token: 'jwt',
      }),
    ])
  })

  test('is refused: tried again with full jitter, or not at all when that is for good', async () => {
    const it = setup()
    const statuses: unknown[] = []
    it.server.onJoin = () => ({ status: 'error', response: { reason: 'IncreaseConnectionPool: busy' } })
    const channel = it.client.channel('room').subscribe((status, error) => statuses.push([status, (error as RealtimeError).code]))
    await settle()
    await it.runtime.advance(20_000)
    expect(it.server.heard('phx_join').length).toBeGreaterThan(4)
    expect(new Set(statuses.map((status) => JSON.stringify(status)))).toEqual(new Set(['["CHANNEL_ERROR","database-unavailable"]']))
    it.server.onJoin = () => ({ status: 'error', response: { reason: 'Unauthorized: no' } })
    await it.runtime.advance(20_000)
    const tries = it.server.heard('phx_join').length
    await it.runtime.advance(60_000)
    expect(it.server.heard('phx_join')).toHaveLength(tries)
    expect(statuses.at(-1)).toEqual(['CHANNEL_ERROR', 'unauthorized'])
    it.server.onJoin = () => ({ status: 'ok', response: {} })
    await it.client.setAuth('a better one')
    await settle()
    expect(channel.state).toBe('joined')
    await expectNothingLeft(it)
  })

  test('times out, leaves, and is tried again', async () => {
    const it = setup()
    const statuses: string[] = []
    it.server.onJoin = () => null
    const channel = it.client.channel('room').subscribe((status) => statuses.push(status), 3000)
    await it.runtime.advance(2999)
    expect(statuses).toEqual([])
    it.server.onJoin = () => ({ status: 'ok', response: {} })
    await it.runtime.advance(1)
    expect(statuses).toEqual(['TIMED_OUT'])
    expect(it.server.heard('phx_leave')).toHaveLength(1)
    await it.runtime.advance(1000)
    expect([statuses, channel.state]).toEqual([['TIMED_OUT', 'SUBSCRIBED'], 'joined'])
    await expectNothingLeft(it)
  })

  test('replay needs a private channel', () => {
    expect(() => setup().client.channel('room', { config: { broadcast: { replay: { since: 1 } } } })).toThrow(
      "tried to use replay on public channel 'realtime:room'. It must be a private channel.",
    )
  })

  test('a channel that the server did not bind as asked is left and says so', async () => {
    const { client, server } = setup()
    const statuses: unknown[] = []
    server.onJoin = () => ({ status: 'ok', response: { postgres_changes: [{ id: 1, event: '*', schema: 'other' }] } })
    const channel = client.channel('room').onPostgresChanges('*', { schema: 'public' }, () => {})
    channel.subscribe((status, error) => statuses.push([status, error?.message]))
    await settle()
    expect(statuses).toEqual([
      ['CLOSED', undefined],
      ['CHANNEL_ERROR', 'mismatch between server and client bindings for postgres changes'],
    ])
    expect(client.getChannels()).toEqual([])
  })
})

describe('what can never come is refused by name', () => {
  test('an unknown event', () => {
    const { client } = setup()
    const channel = client.channel('room')
    const on =
      (type: string, event: unknown): unknown =>
      () =>
        channel.on(type as 'presence', { event } as never, () => {})
    const refused = (name: string): unknown =>
      expect.objectContaining({ code: 'bad-argument', message: expect.stringContaining(name) as string })
    expect(on('postgres_changes', 'inserted')).toThrow(refused('"inserted"'))
    expect(on('postgres_changes', undefined)).toThrow(refused('`postgres_changes`'))
    expect(on('presence', 'left')).toThrow(refused('"left"'))
    for (const event of ['insert', 'INSERT', 'Update', 'DELETE', '*']) expect(on('postgres_changes', event)).not.toThrow()
    for (const event of ['sync', 'JOIN', 'leave', 'update', '*']) expect(on('presence', event)).not.toThrow()
    expect(on('broadcast', 'anything')).not.toThrow()
  })

  test('events in lower case are those in upper case, as in realtime-js', async () => {
    const { client, server } = setup()
    const heard: unknown[] = []
    client
      .channel('room')
      .on('postgres_changes', { event: 'insert' as 'INSERT', schema: 'public', table: 't' }, ({ eventType }) => heard.push(eventType))
      .subscribe()
    await settle()
    const data = { schema: 'public', table: 't', commit_timestamp: 'T', errors: null, columns: [] }
    server.push('realtime:room', 'postgres_changes', { ids: [1], data: { ...data, type: 'INSERT', record: {} } })
    server.push('realtime:room', 'postgres_changes', { ids: [1], data: { ...data, type: 'DELETE', old_record: {} } })
    expect(heard).toEqual(['INSERT'])
  })

  test('a private channel of a name that is in use as a public one, and the reverse', () => {
    const { client } = setup()
    const open = client.channel('room')
    expect(client.channel('room')).toBe(open)
    expect(client.channel('room', { config: { private: false } })).toBe(open)
    expect(() => client.channel('room', { config: { private: true } })).toThrow(
      expect.objectContaining({
        code: 'already-joined',
        message: expect.stringContaining('realtime:room is in use as a public channel') as string,
      }),
    )
    const closed = client.channel('members', { config: { private: true } })
    expect(client.channel('members')).toBe(closed)
    expect(() => client.channel('members', { config: { private: false } })).toThrow('in use as a private channel')
    expect(() => client.hold('room', { config: { private: true } })).toThrow('in use as a public channel')
  })

  test('a listener that comes too late names the cleanup that an effect forgot', async () => {
    const { client, runtime } = setup()
    client.channel('room').subscribe()
    await settle()
    const again = (): unknown => client.channel('room').onPostgresChanges('*', { schema: 'public' }, () => {})
    const hint = expect.stringContaining('Did an effect forget client.removeChannel(channel)?') as string
    expect(again).toThrow(expect.objectContaining({ code: 'already-joined', hint }))
    expect(runtime.warnings).toEqual([hint])
  })
})

describe('listeners', () => {
  test('Postgres changes, by id and kind', async () => {
    const { client, server } = setup()
    const heard: unknown[] = []
    client
      .channel('room')
      .on('postgres_changes', { event: 'INSERT', schema: 'public', table: 't' }, (change) => heard.push(['insert', change.new]))
      .onPostgresChanges('*', { schema: 'public', table: 't' }, (change) => heard.push(['any', change.eventType, change.old]))
      .subscribe()
    await settle()
    const data = { schema: 'public', table: 't', commit_timestamp: 'T', errors: null, columns: [{ name: 'id', type: 'int8' }] }
    server.push('realtime:room', 'postgres_changes', { ids: [1, 2], data: { ...data, type: 'INSERT', record: { id: 1 } } })
    server.push('realtime:room', 'postgres_changes', { ids: [2], data: { ...data, type: 'DELETE', old_record: { id: 1 } } })
    for (const hostile of [null, {}, { ids: 1, data: {} }, { ids: [1], data: null }, { ids: [2], data: {} }])
      server.push('realtime:room', 'postgres_changes', hostile)
    expect(heard.slice(0, 3)).toEqual([
      ['insert', { id: 1 }],
      ['any', 'INSERT', {}],
      ['any', 'DELETE', { id: 1 }],
    ])
  })

  test('presence, in both styles', async () => {
    const { client, server } = setup()
    const heard: unknown[] = []
    const channel = client
      .channel('room')
      .onPresenceJoin((key, current, joined) => heard.push(['join', key, current, joined]))
      .onPresenceLeave((key, current, left) => heard.push(['leave', key, current, left]))
      .onPresenceSync(() => heard.push('sync'))
      .on('presence', { event: '*' }, ({ event }) => heard.push(`* ${event}`))
      .subscribe()
    await settle()
    server.push('realtime:room', 'presence_state', { a: { metas: [{ phx_ref: '1', n: 1 }] } })
    server.push('realtime:room', 'presence_diff', { joins: {}, leaves: { a: { metas: [{ phx_ref: '1' }] } } })
    const a = { presence_ref: '1', n: 1 }
    expect(heard).toEqual([
      ['join', 'a', [], [a]],
      '* join',
      'sync',
      '* sync',
      ['leave', 'a', [], [{ presence_ref: '1' }]],
      '* leave',
      'sync',
      '* sync',
    ])
    expect(channel.presenceState()).toEqual({})
  })

  test('presence and changes must be asked for before joining; broadcast and system need not', async () => {
    const { client, server } = setup()
    const heard: unknown[] = []
    const channel = client.channel('room').subscribe()
    await settle()
    expect(() => channel.on('presence', { event: 'sync' }, () => {})).toThrow(
      'cannot add `presence` callbacks for realtime:room after `subscribe()`.',
    )
    expect(() => channel.onPostgresChanges('*', { schema: 'public' }, () => {})).toThrow('cannot add `postgres_changes` callbacks')
    channel.onSystem(({ message }) => heard.push(message)).onBroadcast('*', ({ event }) => heard.push(event))
    server.push('realtime:room', 'system', { extension: 'system', status: 'ok', message: 'hello', channel: 'room' })
    server.push('realtime:room', 'broadcast', { type: 'broadcast', event: 'E', payload: {} })
    expect(heard).toEqual(['hello', 'E'])
  })
})

describe('sending', () => {
  test('acknowledged or not', async () => {
    const it = setup()
    const channel = it.client.channel('room', { config: { broadcast: { ack: true } } }).subscribe()
    await settle()
    expect(await channel.sendBroadcast('e', {})).toBe('ok')
    it.server.onPush = () => ({ status: 'error', response: 'payload_size_exceeded' })
    expect(await channel.sendBroadcast('e', {})).toBe('error')
    it.server.onPush = () => null
    const late = channel.sendBroadcast('e', {}, { timeout: 20 })
    await it.runtime.advance(20)
    expect(await late).toBe('timed out')
    await expectNothingLeft(it)
  })

  test('track and untrack wait for the join', async () => {
    const { client, server } = setup()
    const channel = client.channel('room')
    await expect(channel.track({ a: 1 })).rejects.toThrow(
      "tried to push 'presence' to 'realtime:room' before joining. Use channel.subscribe() before pushing events",
    )
    channel.subscribe()
    const tracked = channel.track({ a: 1 })
    expect(await tracked).toBe('ok')
    expect(await channel.untrack()).toBe('ok')
    expect(server.heard('presence').map(({ payload }) => payload)).toEqual([
      { type: 'presence', event: 'track', payload: { a: 1 } },
      { type: 'presence', event: 'untrack' },
    ])
  })

  test('a broadcast of a channel that is not joined goes over HTTP, and says so', async () => {
    const { client, runtime } = setup()
    await client.setAuth('jwt')
    const channel = client.channel('a b')
    expect(await channel.sendBroadcast('e', { n: 1 })).toBe('ok')
    expect(runtime.warnings).toHaveLength(1)
    expect(runtime.requests).toEqual([
      {
        url: 'http://localhost/api/broadcast',
        headers: { apikey: 'key', 'Content-Type': 'application/json', Authorization: 'Bearer jwt' },
        body: '{"messages":[{"topic":"a b","event":"e","payload":{"n":1},"private":false}]}',
        timeoutMs: 10_000,
      },
    ])
    runtime.answer = () => ({ status: 500, statusText: '', body: '' })
    expect(await channel.sendBroadcast('e', {})).toBe('error')
    runtime.answer = () => Promise.reject(new RealtimeError('timeout', 'late'))
    expect(await channel.sendBroadcast('e', {})).toBe('timed out')
  })

  test('what the endpoint and the user put into a URL stays there, in its order', async () => {
    const runtime = new FakeRuntime()
    const client = new RealtimeClient('ws://host/socket?a=1', { params: { z: 1, apikey: 'k' } }, runtime)
    expect(new RealtimeClient('ws://host/socket', { params: { z: 1, apikey: 'k' } }, runtime).endpointURL()).toBe(
      'ws://host/socket/websocket?z=1&apikey=k&vsn=2.0.0',
    )
    const bytes = new Uint8Array([1])
    const channel = client.channel('room', { config: { private: true } })
    await channel.httpSend('e', bytes, { persist: { ttl: 60 } })
    await channel.httpSend('e', bytes, { persist: true })
    expect(runtime.requests.map(({ url }) => url)).toEqual([
      'http://host/api/broadcast/room/events/e?a=1&private=true&persist%5Bttl%5D=60',
      'http://host/api/broadcast/room/events/e?a=1&private=true&persist=true',
    ])
    expect(runtime.requests[0]!.body).toBe(bytes)
  })

  test('persist on what cannot be stored is an error, as in realtime-js', async () => {
    const { client, runtime } = setup()
    const channel = client.channel('room').subscribe()
    await settle()
    expect(await channel.send({ type: 'broadcast', event: 'e', persist: true })).toBe('error')
    expect(await channel.send({ type: 'broadcast', event: 'e', persist: false })).toBe('ok')
    expect(runtime.warnings).toEqual([expect.stringContaining('`persist` needs a joined private channel')])
  })

  test('httpSend', async () => {
    const { client, runtime } = setup()
    const channel = client.channel('a b', { config: { private: true } })
    expect(await channel.httpSend('e v', { n: 1 }, { timeout: 5 })).toEqual({ success: true })
    expect(await channel.httpSend('ev', new Uint8Array([1, 2]).subarray(1))).toEqual({ success: true })
    expect(runtime.requests.map(({ url, body, timeoutMs }) => [url, body, timeoutMs])).toEqual([
      ['http://localhost/api/broadcast/a%20b/events/e%20v?private=true', '{"n":1}', 5],
      ['http://localhost/api/broadcast/a%20b/events/ev?private=true', new Uint8Array([2]), 10_000],
    ])
    expect(runtime.requests[1]!.headers!['Content-Type']).toBe('application/octet-stream')
    await expect(channel.httpSend('e', null)).rejects.toThrow('Payload is required for httpSend()')
    // Rule H3: a URL has no way to say these names.
    for (const name of ['.', '..']) {
      await expect(channel.httpSend(name, {})).rejects.toMatchObject({ code: 'bad-argument' })
      await expect(client.channel(name).httpSend('e', {})).rejects.toMatchObject({ code: 'bad-argument' })
    }
    expect(runtime.requests).toHaveLength(2)
    runtime.answer = () => ({ status: 422, statusText: 'U', body: '{"error":"bad"}' })
    await expect(channel.httpSend('e', {})).rejects.toMatchObject({ code: 'http-failed', message: 'bad', retryable: false })
    runtime.answer = () => ({ status: 503, statusText: 'Busy', body: '<html>' })
    await expect(channel.httpSend('e', {})).rejects.toMatchObject({ message: 'Busy', retryable: true })
  })
})

describe('the connection', () => {
  test('is made again after a loss, and everything with it', async () => {
    const it = setup()
    const statuses: unknown[] = []
    const channel = it.client.channel('room').subscribe((status, error) => statuses.push(error?.message ?? status))
    await settle()
    it.runtime.socket.drop(1012, 'restart')
    expect([channel.state, it.client.connectionState()]).toEqual(['errored', 'closed'])
    await it.runtime.advance(1000)
    expect(statuses).toEqual(['SUBSCRIBED', 'socket closed: 1012 (restart)', 'SUBSCRIBED'])
    await expectNothingLeft(it)
  })

  test('reconnects of many clients are spread over the whole wait', async () => {
    const waits: number[] = []
    for (let seed = 1; seed <= 40; seed++) {
      const runtime = new FakeRuntime(seed)
      const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, runtime)
      client.connect()
      runtime.socket.drop()
      let waited = 0
      while (runtime.sockets.length === 1) {
        await runtime.advance(50)
        waited += 50
      }
      waits.push(waited)
    }
    expect(Math.min(...waits)).toBeLessThan(200)
    expect(Math.max(...waits)).toBeGreaterThan(800)
    expect(Math.max(...waits)).toBeLessThanOrEqual(1000)
  })

  test('a wait of the user is taken as it is, without jitter', async () => {
    const tries: number[] = []
    const it = setup({ reconnectAfterMs: (attempt) => tries.push(attempt) * 700 })
    it.server.opens = false
    it.client.connect()
    for (const waitMs of [700, 1400]) {
      const sockets = it.runtime.sockets.length
      it.runtime.socket.drop()
      await it.runtime.advance(waitMs - 1)
      expect(it.runtime.sockets.length).toBe(sockets)
      await it.runtime.advance(1)
      expect(it.runtime.sockets.length).toBe(sockets + 1)
    }
    expect(tries).toEqual([1, 2])
    await expectNothingLeft(it)
  })

  test('heartbeats: sent, answered, missed', async () => {
    const it = setup()
    const beats: unknown[] = []
    it.client.onHeartbeat((...news) => beats.push(news))
    it.client.connect()
    await it.runtime.advance(25_000)
    expect(it.server.heard('heartbeat')).toMatchObject([{ joinRef: null, topic: 'phoenix', payload: {} }])
    expect(beats).toEqual([['sent'], ['ok', 0]])
    // Silent from the moment of an answer on, which is the worst one: found after an interval and the timeout, not sooner.
    it.server.onHeartbeat = () => null
    it.server.opens = false
    await it.runtime.advance(34_999)
    expect([beats.slice(2), it.client.isConnected()]).toEqual([[['sent']], true])
    await it.runtime.advance(1)
    expect([beats.slice(3), it.client.state]).toMatchObject([[['timeout']], { kind: 'waiting', cause: { reason: 'heartbeat timeout' } }])
    await it.runtime.advance(1000)
    expect(it.runtime.sockets.length).toBeGreaterThan(1)
    await expectNothingLeft(it)
  })

  test('a socket that never opens is given up', async () => {
    const it = setup()
    it.server.opens = false
    it.client.connect()
    await it.runtime.advance(11_500)
    expect(it.runtime.sockets.length).toBeGreaterThanOrEqual(2)
    await expectNothingLeft(it)
  })

  test('waking probes at once; freezing lets go of the socket and waking brings it back', async () => {
    const it = setup()
    const channel = it.client.channel('room').subscribe()
    await settle()
    it.runtime.happen('wake')
    await settle()
    expect(it.server.heard('heartbeat')).toHaveLength(1)
    it.runtime.happen('freeze')
    expect([channel.state, it.client.connectionState(), it.runtime.armedTimers]).toEqual(['errored', 'closed', 0])
    it.runtime.happen('wake')
    await settle()
    expect(channel.state).toBe('joined')
    await expectNothingLeft(it)
  })

  test('connect while closing connects', async () => {
    const it = setup()
    const channel = it.client.channel('room').subscribe()
    await settle()
    const gone = it.client.disconnect()
    it.client.connect()
    expect(await gone).toBe('ok')
    await settle()
    expect([it.client.connectionState(), channel.state]).toEqual(['open', 'joined'])
    await expectNothingLeft(it)
  })

  test('a socket that does not close is dropped, and disconnect says so', async () => {
    const { client, runtime } = setup()
    client.connect()
    await settle()
    const gone = client.disconnect(1000, 'bye')
    expect(runtime.socket.closing).toEqual({ code: 1000, reason: 'bye' })
    await runtime.advance(1500)
    expect(await gone).toBe('timeout')
    expect([client.connectionState(), runtime.armedTimers]).toEqual(['closed', 0])
  })

  test('closes by itself when the last channel has been gone for a while', async () => {
    const { client, runtime } = setup({ disconnectOnEmptyChannelsAfterMs: 30 })
    const channel = client.channel('room').subscribe()
    await settle()
    await client.removeChannel(channel)
    await runtime.advance(29)
    const next = client.channel('next')
    await runtime.advance(100)
    expect(client.isConnected()).toBe(true)
    await client.removeChannel(next)
    await runtime.advance(30)
    expect(client.isDisconnecting()).toBe(true)
  })

  test('removeAllChannels leaves all and disconnects', async () => {
    const it = setup()
    it.client.channel('a').subscribe()
    it.client.channel('b').subscribe()
    await settle()
    const removed = it.client.removeAllChannels()
    it.runtime.socket.drop(1005)
    expect(await removed).toEqual(['ok', 'ok'])
    expect(it.server.heard('phx_leave').map(({ topic }) => topic)).toEqual(['realtime:a', 'realtime:b'])
    await expectNothingLeft(it)
  })

  test('raw messages wait for the connection', async () => {
    const { client, runtime } = setup()
    client.push({ topic: 'raw', event: 'ev', payload: {}, ref: '77' })
    client.connect()
    await settle()
    expect(runtime.socket.messages).toEqual([[null, '77', 'raw', 'ev', {}]])
  })

  test('encode and decode of the user', async () => {
    const encoded: unknown[] = []
    const it = setup({
      encode: (message, done) => {
        encoded.push(message)
        done(JSON.stringify([message.join_ref ?? null, message.ref, message.topic, message.event, message.payload]))
      },
      decode: (raw, done) => {
        const [join_ref, ref, topic, event, payload] = JSON.parse(raw as string) as [string, string, string, string, unknown]
        done({ join_ref, ref, topic, event, payload })
      },
    })
    const channel = it.client.channel('room').subscribe()
    await settle()
    expect(channel.state).toBe('joined')
    expect(encoded).toEqual([{ topic: 'realtime:room', event: 'phx_join', payload: expect.any(Object), ref: '2', join_ref: '2' }])
  })
})

describe('ready', () => {
  test('resolves when joined; with changes, when they flow', async () => {
    const { client, server } = setup()
    await client.channel('a').ready()
    const channel = client.channel('b').onPostgresChanges('*', { schema: 'public' }, () => {})
    let isReady = false
    const ready = channel.ready().then(() => (isReady = true))
    await settle()
    expect([channel.state, isReady]).toEqual(['joined', false])
    server.push('realtime:b', 'system', { extension: 'postgres_changes', status: 'ok', message: 'Subscribed to PostgreSQL', channel: 'b' })
    await ready
  })

  test('every other end is an error with a name', async () => {
    const it = setup()
    const codeOf = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => (error as RealtimeError).code)
    it.server.onJoin = () => null
    const late = codeOf(it.client.channel('a').ready({ timeout: 50 }))
    const controller = new AbortController()
    const aborted = codeOf(it.client.channel('b').ready({ signal: controller.signal }))
    const left = codeOf(it.client.channel('c').ready())
    const cut = codeOf(it.client.channel('d').ready())
    controller.abort()
    expect(await codeOf(it.client.channel('b').ready({ signal: controller.signal }))).toBe('aborted')
    await it.client.channel('c').unsubscribe()
    await it.runtime.advance(50)
    await expectNothingLeft(it)
    expect(await Promise.all([late, aborted, left, cut])).toEqual(['timeout', 'aborted', 'channel-closed', 'disconnected'])
    it.server.onJoin = () => ({ status: 'error', response: { reason: 'Unauthorized: no' } })
    expect(await codeOf(it.client.channel('e').ready())).toBe('unauthorized')
    await expectNothingLeft(it)
  })
})

test('a channel can be made from its class', async () => {
  const { client } = setup()
  const channel = new RealtimeChannel('realtime:x', undefined, client)
  expect([channel.subTopic, channel.state, client.getChannels()]).toEqual(['x', 'closed', [channel]])
  expect(() => new RealtimeChannel('realtime:y', undefined, {})).toThrow('needs a RealtimeClient')
})

test('tokens and payloads that carry them are not logged', async () => {
  const log: unknown[] = []
  const { client } = setup({ logger: (...line) => log.push(line) })
  await client.setAuth('secret-1')
  client.channel('room').subscribe()
  await settle()
  await client.setAuth('secret-2')
  expect(log.length).toBeGreaterThan(3)
  expect(JSON.stringify(log)).not.toContain('secret')
})
