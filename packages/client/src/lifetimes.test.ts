import { getEventListeners } from 'node:events'
import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { Client as RealtimeClient } from './client.ts'

function setup() {
  const runtime = new FakeRuntime()
  const server = new ScriptedServer(runtime)
  return { client: new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, runtime), runtime, server }
}

const say = (server: ScriptedServer, event = 'e'): void =>
  server.push('realtime:room', 'broadcast', { type: 'broadcast', event, payload: {} })

describe('listeners', () => {
  test('end with off, by callback or by type', async () => {
    const { client, server } = setup()
    const heard: string[] = []
    const first = (): unknown => heard.push('first')
    const channel = client
      .channel('room')
      .onBroadcast('e', first)
      .onBroadcast('e', () => heard.push('second'))
      .subscribe()
    await settle()
    say(server)
    channel.off('broadcast', first)
    say(server)
    channel.off('broadcast')
    say(server)
    expect(heard).toEqual(['first', 'second', 'second'])
  })

  test('end with their signal', async () => {
    const { client, server } = setup()
    const controller = new AbortController()
    let heard = 0
    const channel = client
      .channel('room')
      .onBroadcast('e', () => heard++, { signal: controller.signal })
      .subscribe()
    await settle()
    say(server)
    controller.abort()
    channel.onBroadcast('e', () => heard++, { signal: controller.signal })
    say(server)
    expect([heard, channel.bindings['broadcast']]).toEqual([1, []])
  })

  test('that are taken back leave nothing on a signal that lives on', () => {
    const { client } = setup()
    const { signal } = new AbortController()
    const channel = client.channel('room')
    for (let times = 0; times < 20; times++) {
      const listener = (): void => {}
      channel.onBroadcast('e', listener, { signal }).off('broadcast', listener)
      client.onState(() => {}, { signal })()
    }
    channel.onSystem(() => {}, { signal }).off('system')
    expect(getEventListeners(signal, 'abort')).toEqual([])
  })
})

describe('handles', () => {
  test('two users of one topic: the first release takes its listeners, the last leaves', async () => {
    const { client, runtime, server } = setup()
    const [a, b] = [client.hold('room'), client.hold('room')]
    expect(a.channel).toBe(b.channel)
    const heard: string[] = []
    a.channel.onBroadcast('e', () => heard.push('a'), { signal: a.signal }).subscribe()
    b.channel.onBroadcast('e', () => heard.push('b'), { signal: b.signal }).subscribe()
    await settle()
    a.release()
    a.release()
    await runtime.advance(0)
    say(server)
    expect([heard, b.channel.state]).toEqual([['b'], 'joined'])
    b.release()
    await runtime.advance(0)
    expect([b.channel.state, client.getChannels()]).toEqual(['closed', []])
    expect(server.heard('phx_leave')).toHaveLength(1)
  })

  test('released and held again in one turn costs no frame', async () => {
    const { client, runtime, server } = setup()
    const first = client.hold('room')
    first.channel.subscribe()
    await settle()
    first.release()
    const second = client.hold('room')
    second.channel.subscribe()
    await runtime.advance(10)
    expect([second.channel.state, server.heard('phx_join').length, server.heard('phx_leave').length]).toEqual(['joined', 1, 0])
  })

  test('await using', async () => {
    const { client, runtime } = setup()
    {
      await using handle = client.hold('room')
      await handle.channel.ready()
    }
    await runtime.advance(0)
    expect(client.getChannels()).toEqual([])
    {
      await using channel = client.channel('other')
      await channel.ready()
    }
    expect(client.getChannels()).toEqual([])
    const disposed = (async () => {
      await using _ = client
    })()
    runtime.socket.drop(1005)
    await disposed
    expect([client.connectionState(), runtime.armedTimers]).toEqual(['closed', 0])
  })
})

test('onState reports every change, with cause, attempt and the time to the next', async () => {
  const { client, runtime, server } = setup()
  const states: unknown[] = []
  const controller = new AbortController()
  client.onState((state) => states.push(state), { signal: controller.signal })
  const off = client.onState(() => {
    throw new Error('broken')
  })
  client.connect()
  await settle()
  off()
  expect(states).toEqual([
    { kind: 'connecting', attempt: 0 },
    { kind: 'connected', attempt: 0, heartbeatRef: null },
  ])
  server.opens = false
  runtime.socket.drop(1012, 'restart')
  expect(states.at(-1)).toEqual({
    kind: 'waiting',
    attempt: 1,
    retryInMs: expect.any(Number),
    cause: { code: 1012, reason: 'restart', wasClean: false },
  })
  controller.abort()
  await client.disconnect()
  expect(states).toHaveLength(3)
  expect(runtime.errors).toHaveLength(2)
})

test('at most so many joins wait for their reply at a time; all get their turn', async () => {
  const { client, runtime, server } = setup()
  server.onJoin = () => null
  for (let n = 0; n < 100; n++) client.channel(`room ${n}`).subscribe()
  await settle()
  expect(server.heard('phx_join')).toHaveLength(32)
  server.onJoin = () => ({ status: 'ok', response: {} })
  await runtime.advance(30_000)
  expect(client.getChannels().every((channel) => channel.state === 'joined')).toBe(true)
})

test('a cut while many joins are queued costs none of them its turn', async () => {
  const { client, runtime, server } = setup()
  server.onJoin = () => null
  const errors = new Set<string | undefined>()
  for (let n = 0; n < 100; n++) client.channel(`room ${n}`).subscribe((_, error) => error && errors.add(error.message))
  await settle()
  for (let cut = 0; cut < 3; cut++) {
    runtime.socket.drop()
    await runtime.advance(5000)
  }
  expect([...errors]).toEqual(['socket closed: 1006'])
  server.onJoin = () => ({ status: 'ok', response: {} })
  await runtime.advance(40_000)
  expect(client.getChannels().filter((channel) => channel.state !== 'joined')).toEqual([])
})

describe('iterators', () => {
  test('broadcasts: subscribes, gives, ends with the channel', async () => {
    const { client, server } = setup()
    const channel = client.channel('room')
    const heard: unknown[] = []
    const reading = (async () => {
      for await (const { event } of channel.broadcasts('e')) heard.push(event)
    })()
    await settle()
    say(server)
    say(server, 'other')
    say(server)
    await channel.unsubscribe()
    await reading
    expect([heard, channel.bindings['broadcast']]).toEqual([['e', 'e'], []])
  })

  test('changes and presence', async () => {
    const { client, server } = setup()
    const channel = client.channel('room')
    const changes = channel.changesOf('INSERT', { schema: 'public', table: 't' })
    const presences = channel.presences()
    const [change, presence] = [changes.next(), presences.next()]
    await settle()
    server.push('realtime:room', 'postgres_changes', {
      ids: [1],
      data: { type: 'INSERT', schema: 'public', table: 't', columns: [], record: { id: 1 } },
    })
    server.push('realtime:room', 'presence_state', { a: { metas: [{ phx_ref: '1' }] } })
    expect((await change).value).toMatchObject({ eventType: 'INSERT', new: { id: 1 } })
    expect((await presence).value).toEqual({ a: [{ presence_ref: '1' }] })
  })
})

describe('sendWithAck', () => {
  test('does not use up its tries on a socket that is closing', async () => {
    const { client, runtime } = setup()
    const channel = client.channel('room', { config: { broadcast: { ack: true } } }).subscribe()
    await settle()
    runtime.socket.readyState = 2
    const sent = channel.sendWithAck('e', {}, { retries: 3 })
    await runtime.advance(10)
    runtime.socket.drop(1012)
    await runtime.advance(5000)
    expect(await sent).toMatchObject({ ok: true, response: {} })
  })

  test('that is aborted in the same turn sends nothing', async () => {
    const { client, server } = setup()
    const channel = client.channel('room', { config: { broadcast: { ack: true } } }).subscribe()
    await settle()
    const controller = new AbortController()
    const sent = channel.sendWithAck('e', {}, { signal: controller.signal })
    controller.abort()
    expect(await sent).toMatchObject({ ok: false, error: { code: 'aborted' } })
    expect(server.heard('broadcast')).toEqual([])
  })

  test('needs ack, tries again under one key, and says what became of it', async () => {
    const { client, runtime, server } = setup()
    expect(await client.channel('plain').sendWithAck('e', {})).toMatchObject({ ok: false, attempts: 1, error: { code: 'bad-argument' } })
    const channel = client.channel('room', { config: { broadcast: { ack: true } } })
    expect(await channel.sendWithAck('e', { n: 1 })).toEqual({ ok: true, attempts: 1, response: {} })
    server.onPush = () => null
    const sent = channel.sendWithAck('e', {}, { timeout: 100, retries: 2, idempotencyKey: 'key' })
    await runtime.advance(150)
    runtime.socket.drop()
    server.onPush = () => ({ status: 'ok', response: { n: 2 } })
    await runtime.advance(3000)
    const result = await sent
    expect(result).toMatchObject({ attempts: 3 })
    server.onPush = () => ({ status: 'error', response: 'payload_size_exceeded' })
    await channel.ready()
    expect(await channel.sendWithAck('e', {}, { retries: 5 })).toMatchObject({ ok: false, attempts: 1, error: { code: 'push-refused' } })
    const controller = new AbortController()
    controller.abort()
    expect(await channel.sendWithAck('e', {}, { signal: controller.signal })).toMatchObject({ ok: false, error: { code: 'aborted' } })
    server.onPush = () => null
    const later = new AbortController()
    const unanswered = channel.sendWithAck('e', {}, { signal: later.signal, retries: 5 })
    await settle()
    later.abort()
    expect(await unanswered).toMatchObject({ ok: false, attempts: 1, error: { code: 'aborted' } })
    expect(getEventListeners(later.signal, 'abort')).toEqual([])
  })
})

test('presence updates are reported as such, besides the join and the leave', async () => {
  const { client, server } = setup()
  const heard: unknown[] = []
  client
    .channel('room')
    .onPresenceUpdate((key, previous, current) => heard.push([key, previous, current]))
    .on('presence', { event: '*' }, ({ event }) => heard.push(event))
    .subscribe()
  await settle()
  server.push('realtime:room', 'presence_state', { a: { metas: [{ phx_ref: '1', n: 1 }] } })
  heard.length = 0
  server.push('realtime:room', 'presence_diff', {
    joins: { a: { metas: [{ phx_ref: '2', phx_ref_prev: '1', n: 2 }] } },
    leaves: { a: { metas: [{ phx_ref: '1', n: 1 }] } },
  })
  expect(heard).toEqual(['join', 'leave', ['a', [{ presence_ref: '1', n: 1 }], [{ presence_ref: '2', n: 2 }]], 'sync'])
})

describe('a program that answers CHANNEL_ERROR with a new channel', () => {
  /** The n-th failure and later ones are left alone. */
  function recreates(most: number) {
    const it = setup()
    const seen: string[] = []
    const start = (): void => {
      const channel = it.client.channel('room').subscribe((status) => {
        seen.push(status)
        if (status !== 'CHANNEL_ERROR' || seen.length > most) return
        void it.client.removeChannel(channel)
        start()
      })
    }
    start()
    return { ...it, seen }
  }

  test('is notified of a lost connection once, and joins again', async () => {
    const { runtime, seen } = recreates(100)
    await settle()
    runtime.socket.drop()
    expect(seen).toEqual(['SUBSCRIBED', 'CHANNEL_ERROR', 'CLOSED'])
    await runtime.advance(1000)
    expect(seen.slice(3)).toEqual(['SUBSCRIBED'])
  })

  test('does not undo the pause between two tries', async () => {
    const { runtime, server, seen } = recreates(1000)
    await settle()
    server.opens = false
    runtime.onSocket = (socket) => queueMicrotask(() => socket.drop())
    runtime.socket.drop()
    await runtime.advance(60_000)
    expect(runtime.sockets.length).toBeGreaterThan(5)
    expect(runtime.sockets.length).toBeLessThan(40)
    expect(seen).not.toContain('TIMED_OUT')
  })
})

test('a channel that is removed while the client disconnects leaves no timer behind', async () => {
  const { client, runtime } = setup()
  const channel = client.channel('room').subscribe()
  await settle()
  const gone = client.disconnect()
  await client.removeChannel(channel)
  runtime.socket.drop(1000)
  expect(await gone).toBe('ok')
  expect(runtime.armedTimers).toBe(0)
})

test('a callback added by a callback is notified of the join once', async () => {
  const { client } = setup()
  const heard: string[] = []
  const late = (status: string): void => void heard.push(status)
  const channel = client.channel('room').subscribe(() => channel.subscribe(late))
  await settle()
  expect(heard).toEqual(['SUBSCRIBED'])
})
