import * as theirs from '@supabase/realtime-js'
import { FakeRuntime, ScriptedServer, settle } from '@tidewire/testkit'
import { describe, expect, test } from 'vitest'
import { Client as RealtimeClient } from './client.ts'
import * as ours from './index.ts'

test('has every runtime name of realtime-js, with the values of its constants', () => {
  const wanted = Object.entries<unknown>(theirs).filter(([name]) => name !== 'default' && name !== 'module.exports')
  const have = new Map(Object.entries<unknown>(ours))
  expect(wanted.map(([name]) => name).filter((name) => !have.has(name))).toEqual([])
  for (const [name, value] of wanted)
    expect([name, typeof value === 'object' ? have.get(name) : 'a class']).toEqual([name, typeof value === 'object' ? value : 'a class'])
})

test('has every public member of its classes that programs use', () => {
  const client = new RealtimeClient('ws://localhost/socket', { apikey: 'k' }, new FakeRuntime())
  const public_ = (prototype: object): string[] => Object.getOwnPropertyNames(prototype).filter((name) => !name.startsWith('_'))
  const missing = [
    ...public_(theirs.RealtimeClient.prototype).filter((name) => !(name in client)),
    ...public_(theirs.RealtimeChannel.prototype).filter((name) => !(name in client.channel('room'))),
  ]
  // Insides of the Phoenix client that realtime-js shows: timers, push objects, buffers, callback tables.
  expect(missing.sort()).toEqual(['heartbeatTimer', 'joinPush', 'reconnectTimer', 'rejoinTimer', 'sendBuffer', 'stateChangeCallbacks'])
})

describe('the same program on both', () => {
  /** Runs a program against the scripted server and returns what it saw and what the server saw. */
  async function run(
    make: (runtime: FakeRuntime, Transport: never) => theirs.RealtimeClient,
    program: (client: theirs.RealtimeClient, server: ScriptedServer, see: (what: unknown) => void) => Promise<void>,
  ): Promise<{ seen: unknown[]; sent: unknown[] }> {
    const runtime = new FakeRuntime()
    const server = new ScriptedServer(runtime)
    const seen: unknown[] = []
    const client = make(runtime, runtime.webSocket() as never)
    await program(client, server, (what) => seen.push(structuredClone(what)))
    const gone = client.disconnect()
    for (const socket of runtime.sockets) socket.drop(1005)
    await gone
    const sent = server.received
      .filter(({ event }) => event !== 'heartbeat')
      .map(({ topic, event, payload }) => ({ topic, event, payload: withoutPositions(payload) }))
    return { seen, sent }
  }
  /** What is added to the join for servers that can resume. */
  function withoutPositions(payload: unknown): unknown {
    const config = (payload as { config?: { postgres_changes_options?: { positions?: boolean } } }).config
    if (config?.postgres_changes_options?.positions === true) delete config.postgres_changes_options
    return payload
  }
  async function settled(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await settle()
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const params = { apikey: 'k' }
  const both = (program: Parameters<typeof run>[1]): Promise<{ seen: unknown[]; sent: unknown[] }[]> =>
    Promise.all([
      run((_, transport) => new theirs.RealtimeClient('ws://localhost/socket', { params, transport }), program),
      run((runtime) => new RealtimeClient('ws://localhost/socket', { params }, runtime) as unknown as theirs.RealtimeClient, program),
    ])

  test.each<[string, Parameters<typeof run>[1]]>([
    [
      'broadcast, with and without ack',
      async (client, server, see) => {
        const channel = client.channel('room', { config: { broadcast: { ack: true, self: true } } })
        see(channel === client.channel('room'))
        channel.on('broadcast', { event: 'E' }, see).on('broadcast', { event: '*' }, see).on('system', {}, see)
        channel.subscribe((status) => see(status))
        see(channel.state)
        await settled()
        see(channel.state)
        see(await channel.send({ type: 'broadcast', event: 'e', payload: { n: 1 } }))
        server.onPush = () => ({ status: 'error', response: { reason: 'no' } })
        see(await channel.send({ type: 'broadcast', event: 'e' }))
        server.push('realtime:room', 'broadcast', { type: 'broadcast', event: 'e', payload: { n: 2 }, meta: { id: 'x' } })
        server.push('realtime:room', 'system', { extension: 'system', status: 'ok', message: 'm', channel: 'room' })
        see(await client.removeChannel(channel))
        see(client.getChannels().length)
      },
    ],
    [
      'presence',
      async (client, server, see) => {
        const channel = client.channel('room', { config: { presence: { key: 'me' } } })
        for (const event of ['sync', 'join', 'leave', '*'] as const)
          channel.on('presence', { event: event as 'sync' }, ((e: unknown) => see([event, e])) as never)
        channel.subscribe()
        await settled()
        see(await channel.track({ n: 1 }))
        const joinRef = server.joinRef('realtime:room')
        server.push('realtime:room', 'presence_diff', { joins: { z: { metas: [{ phx_ref: 'z' }] } }, leaves: {} })
        server.send(joinRef, null, 'realtime:room', 'presence_state', { a: { metas: [{ phx_ref: '1', x: 1 }, { phx_ref: '2' }] } })
        server.push('realtime:room', 'presence_diff', {
          joins: { a: { metas: [{ phx_ref: '3', phx_ref_prev: '1' }] }, b: { metas: [{ phx_ref: 'b' }] } },
          leaves: { a: { metas: [{ phx_ref: '1' }] }, q: { metas: [{ phx_ref: '?' }] } },
        })
        server.push('realtime:room', 'presence_diff', { joins: {}, leaves: { b: { metas: [{ phx_ref: 'b' }] } } })
        server.send(joinRef, null, 'realtime:room', 'presence_state', {
          a: { metas: [{ phx_ref: '3' }, { phx_ref: '4' }] },
          c: { metas: [{ phx_ref: 'c' }] },
        })
        see({ ...channel.presenceState() })
        see(await channel.untrack())
      },
    ],
    [
      'Postgres changes',
      async (client, server, see) => {
        const channel = client
          .channel('db')
          .on('postgres_changes', { event: 'INSERT', schema: 'public', table: 't', filter: 'id=gt.0' }, see)
          .on('postgres_changes', { event: '*', schema: 'public', table: 't' }, see)
          .subscribe((status) => see(status))
        await settled()
        const columns = ['int8', 'timestamp', 'bool', 'jsonb', '_int4', 'numeric', 'text'].map((type) => ({ name: type, type }))
        const data = { schema: 'public', table: 't', commit_timestamp: 'T', errors: null, columns }
        const record = {
          int8: '5',
          timestamp: '2020-01-01 00:00:00',
          bool: 't',
          jsonb: '{"a":1}',
          _int4: '{1,2}',
          numeric: '1.50',
          text: 'x',
        }
        server.push('realtime:db', 'postgres_changes', { ids: [1, 2], data: { ...data, type: 'INSERT', record } })
        server.push('realtime:db', 'postgres_changes', { ids: [2], data: { ...data, type: 'UPDATE', record, old_record: { int8: 5 } } })
        server.push('realtime:db', 'postgres_changes', { ids: [2], data: { ...data, type: 'DELETE', old_record: { int8: 5 } } })
        see(channel.state)
      },
    ],
    [
      'tokens',
      async (client, _, see) => {
        const channel = client.channel('room').subscribe()
        await settled()
        await client.setAuth('one')
        await client.setAuth('one')
        await client.setAuth(null)
        see(client.accessTokenValue)
        await client.setAuth('two')
        see(channel.state)
        client.channel('other').subscribe()
        await settled()
      },
    ],
    [
      'misuse',
      async (client, _, see) => {
        const attempt = async (act: () => unknown): Promise<void> => {
          try {
            await act()
            see('fine')
          } catch (error) {
            see((error as Error).message)
          }
        }
        await attempt(() => client.channel('r', { config: { broadcast: { replay: { since: 1 } } } }))
        const channel = client.channel('room')
        await attempt(() => channel.track({}))
        channel.subscribe()
        await settled()
        await attempt(() => channel.on('presence', { event: 'sync' }, () => {}))
        await attempt(() => channel.on('postgres_changes', { event: '*', schema: 'public' }, () => {}))
        await attempt(() => channel.copyBindings(client.channel('x')))
        await attempt(() => channel.httpSend('e', null))
      },
    ],
  ])('%s', async (_, program) => {
    const [wanted, got] = await both(program)
    // The version of realtime-js stands in joins that follow a setAuth.
    const clean = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value, (key, inner: unknown) => (key === 'version' ? undefined : inner)))
    expect(clean(got!.sent)).toEqual(clean(wanted!.sent))
    expect(got!.seen).toEqual(wanted!.seen)
  })
})
