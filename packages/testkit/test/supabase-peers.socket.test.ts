/** The clients of Supabase, unmodified from npm, against our server. */
import { RealtimeClient, type RealtimeChannel, type WebSocketLikeConstructor } from '@supabase/realtime-js'
import { createClient } from '@supabase/supabase-js'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startNode, Waiter, type RunningNode } from '@tidewire/testkit'

// The types of `ws` say more than the client's own do.
const transport = WebSocket as unknown as WebSocketLikeConstructor

let node: RunningNode
beforeAll(async () => {
  node = await startNode()
})
afterAll(() => node.stop())

const clients: RealtimeClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) {
    await client.removeAllChannels()
    await client.disconnect()
  }
})

function connect(vsn: string, apikey = node.anonKey): RealtimeClient {
  const client = new RealtimeClient(node.socketUrl, { params: { apikey }, transport, vsn, timeout: 5_000 })
  clients.push(client)
  return client
}

/** Subscribes; resolves with the first status that is not a success as well. */
function subscribed(channel: RealtimeChannel): Promise<string> {
  return new Promise((resolve) =>
    channel.subscribe((status, error) => resolve(error === undefined ? status : `${status}: ${error.message}`)),
  )
}

interface Seen {
  readonly broadcasts: { readonly event: string; readonly payload: unknown }[]
  readonly waiter: Waiter
}

function listen(channel: RealtimeChannel): Seen {
  const seen: Seen = { broadcasts: [], waiter: new Waiter() }
  channel.on('broadcast', { event: '*' }, ({ event, payload }) => {
    seen.broadcasts.push({ event, payload })
    seen.waiter.changed()
  })
  return seen
}

describe.each([
  ['2.0.0', '2.0.0'],
  ['1.0.0', '1.0.0'],
  ['2.0.0', '1.0.0'],
  ['1.0.0', '2.0.0'],
])('@supabase/realtime-js with vsn %s to vsn %s', (from, to) => {
  test('a broadcast arrives, in order, and is acknowledged; the sender gets it only with self', async () => {
    const [sender, receiver] = [connect(from).channel('room', { config: { broadcast: { ack: true } } }), connect(to).channel('room')]
    const [own, theirs] = [listen(sender), listen(receiver)]
    expect(await subscribed(sender)).toBe('SUBSCRIBED')
    expect(await subscribed(receiver)).toBe('SUBSCRIBED')
    const sent = Array.from({ length: 50 }, (_, n) => ({ n, text: `ü${n}`, nested: { a: [1, 2.5, null, true] } }))
    for (const payload of sent) expect(await sender.send({ type: 'broadcast', event: 'say', payload })).toBe('ok')
    await theirs.waiter.until(() => theirs.broadcasts.length === sent.length)
    expect(theirs.broadcasts).toEqual(sent.map((payload) => ({ event: 'say', payload })))
    expect(own.broadcasts).toEqual([])
  })

  test('presence: state, join, update, leave', async () => {
    const names = ['a', 'b'] as const
    const waiter = new Waiter()
    const channels = names.map((key, i) => connect(i === 0 ? from : to).channel('lobby', { config: { presence: { key } } }))
    const log: string[] = []
    for (const [i, channel] of channels.entries()) {
      channel
        .on('presence', { event: 'sync' }, waiter.changed)
        .on('presence', { event: 'join' }, ({ key }) => log.push(`${names[i]!} sees ${key} join`))
        .on('presence', { event: 'leave' }, ({ key }) => log.push(`${names[i]!} sees ${key} leave`))
      expect(await subscribed(channel)).toBe('SUBSCRIBED')
    }
    const [a, b] = channels as [RealtimeChannel, RealtimeChannel]
    expect(await a.track({ at: 1 })).toBe('ok')
    expect(await b.track({ at: 2 })).toBe('ok')
    const names_of = (channel: RealtimeChannel): string => Object.keys(channel.presenceState()).toSorted().join()
    for (const channel of channels) await waiter.until(() => names_of(channel) === 'a,b')
    expect(await a.track({ at: 3 })).toBe('ok')
    await waiter.until(() => (b.presenceState()['a']?.[0] as { at?: number } | undefined)?.at === 3)
    await a.unsubscribe()
    await waiter.until(() => names_of(b) === 'b')
    expect(log).toContain('b sees a join')
    expect(log.at(-1)).toBe('b sees a leave')
  })
})

describe('@supabase/realtime-js', () => {
  test('binary payloads reach 2.0.0 byte for byte', async () => {
    const [sender, receiver] = [connect('2.0.0').channel('bytes'), connect('2.0.0').channel('bytes')]
    const theirs = listen(receiver)
    await subscribed(sender)
    await subscribed(receiver)
    const bytes = Uint8Array.from({ length: 256 }, (_, n) => n)
    await sender.send({ type: 'broadcast', event: 'bytes', payload: bytes.buffer })
    const received = await theirs.waiter.until(() => theirs.broadcasts[0])
    expect(new Uint8Array(received.payload as ArrayBuffer)).toEqual(bytes)
  })

  test('a private channel without a database is refused with its reason', async () => {
    expect(await subscribed(connect('2.0.0').channel('secret', { config: { private: true } }))).toMatch(/^CHANNEL_ERROR: Unauthorized: /)
  })

  test('postgres changes without a database: the join stands, the reason comes as a system message', async () => {
    const channel = connect('2.0.0').channel('rows')
    const system = new Promise<{ status: string; message: string }>((resolve) => channel.on('system', {}, resolve))
    channel.on('postgres_changes', { event: '*', schema: 'public', table: 'todos' }, () => {})
    expect(await subscribed(channel)).toBe('SUBSCRIBED')
    expect(await system).toMatchObject({ status: 'error', extension: 'postgres_changes' })
  })

  test('a token that is refreshed keeps the channel; a bad one closes it', async () => {
    const client = connect('2.0.0')
    const channel = client.channel('tokens')
    const statuses: string[] = []
    const waiter = new Waiter()
    channel.subscribe((status) => {
      statuses.push(status)
      waiter.changed()
    })
    await waiter.until(() => statuses.includes('SUBSCRIBED'))
    await client.setAuth(node.token({ role: 'authenticated', sub: '1' }))
    expect(await channel.send({ type: 'broadcast', event: 'still', payload: {} })).toBe('ok')
    await client.setAuth('a.b.c')
    await waiter.until(() => statuses.includes('CLOSED'))
  })

  test('a socket without a key, or with a bad one, is refused', async () => {
    const channel = connect('2.0.0', 'not-a-token').channel('room')
    expect(await subscribed(channel)).toMatch(/^(CHANNEL_ERROR|TIMED_OUT)/)
    expect(node.decisions.map(({ code }) => code)).toContain('token-malformed')
  })

  test('many channels on one socket, removed one by one', async () => {
    const client = connect('2.0.0')
    const channels = Array.from({ length: 40 }, (_, n) => client.channel(`many:${n}`))
    expect(await Promise.all(channels.map(subscribed))).toEqual(Array<string>(40).fill('SUBSCRIBED'))
    for (const channel of channels) expect(await client.removeChannel(channel)).toBe('ok')
    expect(client.getChannels()).toEqual([])
  })
})

test('@supabase/supabase-js: .channel() on our URL', async () => {
  const options = { realtime: { transport }, auth: { persistSession: false, autoRefreshToken: false } }
  const [a, b] = [createClient(node.url, node.anonKey, options), createClient(node.url, node.anonKey, options)]
  const [sender, receiver] = [a.channel('supabase'), b.channel('supabase')]
  const theirs = listen(receiver)
  expect(await subscribed(sender)).toBe('SUBSCRIBED')
  expect(await subscribed(receiver)).toBe('SUBSCRIBED')
  await sender.send({ type: 'broadcast', event: 'hello', payload: { from: 'a' } })
  await theirs.waiter.until(() => theirs.broadcasts.length === 1)
  expect(theirs.broadcasts).toEqual([{ event: 'hello', payload: { from: 'a' } }])
  for (const client of [a, b]) {
    await client.removeAllChannels()
    await client.realtime.disconnect()
  }
})
