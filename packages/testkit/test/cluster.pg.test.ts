/** supabase-js, unmodified, on three nodes behind a proxy that puts every connection elsewhere. */
import type { RealtimeChannel, SupabaseClient } from '@supabase/supabase-js'
import { eventually, natsServerPath } from '@tidewire/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Cluster } from './cluster.ts'
import { LIVE, subscribed, SupabaseClients } from './supabase-clients.ts'

const ada = '11111111-1111-1111-1111-111111111111'
const bob = '22222222-2222-2222-2222-222222222222'

describe.skipIf(natsServerPath() === undefined)('@supabase/supabase-js on three nodes', () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await Cluster.start(['a', 'b', 'c'])
    await cluster.database.sql(`
      create table notes (id serial primary key, owner uuid, body text);
      alter table notes enable row level security;
      create policy own on notes for select to authenticated using (owner = auth.uid());
      create policy read_rooms on realtime.messages for select to authenticated using (realtime.topic() like 'room:%');
      create policy write_rooms on realtime.messages for insert to authenticated
        with check (realtime.topic() like 'room:%' and auth.uid() = '${ada}');
    `)
    await eventually(() => cluster.members.every(({ relay }) => relay.peers.length === 2))
  })
  afterAll(() => cluster.stop())

  const clients = new SupabaseClients()

  /** One after the other, so that each is on another node. */
  async function signedIn(...subs: readonly string[]): Promise<SupabaseClient[]> {
    const { node } = cluster.members[0]!
    const made: SupabaseClient[] = []
    for (const sub of subs) {
      const client = clients.signedIn(cluster.url, node, sub)
      await client.realtime.setAuth()
      client.realtime.connect()
      await eventually(() => client.realtime.isConnected())
      made.push(client)
    }
    return made
  }

  function heardBy(channel: RealtimeChannel): unknown[] {
    const heard: unknown[] = []
    channel.on('broadcast', { event: '*' }, ({ payload }) => heard.push(payload))
    return heard
  }

  test('puts three connections on three nodes', async () => {
    await signedIn(ada, bob, ada)
    expect(cluster.members.map(({ node }) => node.server.connections.size)).toEqual([1, 1, 1])
  })

  test('broadcasts arrive everywhere, in order and once; also large ones, and those over HTTP', async () => {
    const [one, two, three] = await signedIn(ada, bob, ada)
    const channels = [one!, two!, three!].map((client) => client.channel('lobby', { config: { broadcast: { ack: true } } }))
    const heard = channels.map(heardBy)
    for (const channel of channels) expect(await subscribed(channel)).toBe('SUBSCRIBED')
    const sent = Array.from({ length: 100 }, (_, n) => ({ n, text: n === 50 ? 'x'.repeat(2_500_000) : `ü${n}` }))
    for (const payload of sent) void channels[0]!.send({ type: 'broadcast', event: 'say', payload })
    await eventually(() => heard[1]!.length === 100 && heard[2]!.length === 100, 15_000)
    expect(heard[1]).toEqual(sent)
    expect(heard[2]).toEqual(sent)
    expect(heard[0]).toEqual([])
    const apart = three!.channel('over-http')
    const overHttp = heardBy(apart)
    expect(await subscribed(apart)).toBe('SUBSCRIBED')
    const { node } = cluster.members[0]!
    const answer = await fetch(`${node.url}/api/broadcast`, {
      method: 'POST',
      headers: { apikey: node.serviceKey, 'content-type': 'application/json' },
      body: JSON.stringify({ messages: [{ topic: 'over-http', event: 'say', payload: { n: 1 } }] }),
    })
    expect(answer.status).toBe(202)
    await eventually(() => overHttp.length === 1)
  })

  test('presence is one: state, joins and leaves from every node', async () => {
    const all = await signedIn(ada, bob, ada)
    const keys = ['one', 'two', 'three']
    const channels = all.map((client, at) => client.channel('many', { config: { presence: { key: keys[at]! } } }))
    for (const [at, channel] of channels.entries()) {
      channel.on('presence', { event: 'sync' }, () => {})
      expect(await subscribed(channel)).toBe('SUBSCRIBED')
      expect(await channel.track({ at })).toBe('ok')
    }
    const present = (): string[][] => channels.map((channel) => Object.keys(channel.presenceState()).toSorted())
    await eventually(() => present().every((seen) => seen.length === 3))
    await channels[1]!.untrack()
    await eventually(() => present().every((seen) => seen.length === 2))
    expect(present()).toEqual(channels.map(() => ['one', 'three']))
  })

  test('row changes are checked on the node of each client; private channels and messages from SQL come once', async () => {
    const [adas, bobs, other] = await signedIn(ada, bob, ada)
    const seen: string[][] = []
    for (const client of [adas!, bobs!, other!]) {
      const own: string[] = []
      seen.push(own)
      const channel = client.channel(`notes-${seen.length}`)
      channel.on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'notes' }, (change) =>
        own.push(String(change.new['body'])),
      )
      expect(await subscribed(channel, true)).toBe(LIVE)
    }
    const config = { config: { private: true, broadcast: { ack: true } } }
    const rooms = [adas!, bobs!, other!].map((client) => client.channel('room:1', config))
    const heard = rooms.map(heardBy)
    for (const room of rooms) expect(await subscribed(room)).toBe('SUBSCRIBED')
    await cluster.database.sql(`insert into notes (owner, body) values ('${ada}', 'one'), ('${bob}', 'two'), ('${ada}', 'three')`)
    await eventually(() => seen.flat().length === 5)
    expect(seen).toEqual([['one', 'three'], ['two'], ['one', 'three']])
    expect(await rooms[0]!.send({ type: 'broadcast', event: 'say', payload: { n: 1 } })).toBe('ok')
    expect(await rooms[1]!.send({ type: 'broadcast', event: 'say', payload: { n: 2 } })).toBe('error')
    await eventually(() => heard[1]!.length === 1 && heard[2]!.length === 1)
    await cluster.database.sql(`select realtime.send('{"n": 3}', 'say', 'room:1', true)`)
    await eventually(() => heard.every((each) => each.some((payload) => (payload as { n: number }).n === 3)))
    expect(heard.map((each) => each.map((payload) => (payload as { n: number }).n))).toEqual([[3], [1, 3], [1, 3]])
  })

  test('a node that was cut off says so, and its members go on when it is back', async () => {
    const [one, two] = await signedIn(ada, bob)
    const at = cluster.members.findIndex(({ node }) => node.server.connections.size > 0)
    const channels = [one!, two!].map((client) => client.channel('cut'))
    const heard = channels.map(heardBy)
    for (const channel of channels) expect(await subscribed(channel)).toBe('SUBSCRIBED')
    const { relay, toNats } = cluster.members[at]!
    toNats.cut()
    await eventually(() => relay.link.state === 'down')
    toNats.heal()
    await eventually(() => relay.link.state === 'up' && relay.peers.length === 2)
    await channels[0]!.send({ type: 'broadcast', event: 'say', payload: { n: 1 } })
    await channels[1]!.send({ type: 'broadcast', event: 'say', payload: { n: 2 } })
    await eventually(() => heard[0]!.length === 1 && heard[1]!.length === 1)
  })
})
