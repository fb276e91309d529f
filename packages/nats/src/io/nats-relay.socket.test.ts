import { connect } from '@nats-io/transport-node'
import type { Relay } from '@tidewire/server'
import { eventually, NatsServer, natsServerPath, relayContract, TcpProxy, textMessage, type RelayWorld } from '@tidewire/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { relayTo, useNats } from '../../test/relays.ts'

let server: NatsServer
let worldNumber = 0

class World implements RelayWorld {
  readonly maxPayloadBytes = 8_192
  readonly #prefix = `world${++worldNumber}`
  readonly #proxies = new Map<Relay, TcpProxy>()

  async proxied(): Promise<TcpProxy> {
    return TcpProxy.start({ port: server.port })
  }

  readonly spare: TcpProxy[] = []

  relay(name: string, databaseId = 'db'): Relay {
    const proxy = this.spare.pop()!
    const relay = relayTo(`nats://127.0.0.1:${proxy.port}`, { name, databaseId, prefix: this.#prefix })
    this.#proxies.set(relay, proxy)
    return relay
  }

  cut(relay: Relay): void {
    this.#proxies.get(relay)!.cut()
  }

  heal(relay: Relay): void {
    this.#proxies.get(relay)!.heal()
  }

  until(read: () => boolean, withinMs = 5_000): Promise<void> {
    return eventually(read, withinMs)
  }

  async settled(relays: readonly Relay[]): Promise<void> {
    // Twice: what the first question made others send is there after the second.
    for (let round = 0; round < 2; round++) for (const relay of relays) await relay.caughtUp()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values(), ...this.spare].map((proxy) => proxy.close()))
  }
}

describe.skipIf(natsServerPath() === undefined)('on NATS', () => {
  beforeAll(async () => {
    server = await NatsServer.start('max_payload: 8192')
  })
  afterAll(() => server.close())

  relayContract('a relay on NATS', async () => {
    const world = new World()
    for (let count = 0; count < 4; count++) world.spare.push(await world.proxied())
    return world
  })
})

const room = { name: 'room', private: false }

describe.skipIf(natsServerPath() === undefined)('a relay on a NATS server of its own', () => {
  const { natsServer, begin, later } = useNats()

  it('survives a restart of the server, and reports a gap', async () => {
    const nats = await natsServer()
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(nats.url, { name: 'b' })]
    for (const { relay } of [a, b]) relay.interest(room)
    await eventually(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    await nats.kill()
    await eventually(() => a.relay.link.state === 'down' && b.relay.link.state === 'down')
    expect(a.seen.links.at(-1)).toMatchObject({ detail: expect.stringContaining(`NATS at 127.0.0.1:${nats.port}`) as string })
    a.seen.gaps.length = b.seen.gaps.length = 0
    await nats.start()
    await eventually(() => a.seen.gaps.length > 0 && b.seen.gaps.length > 0, 15_000)
    a.relay.publish(room, [textMessage('again')])
    await eventually(() => b.seen.texts.includes('again'))
    expect(a.seen.peers.map(({ kind }) => kind)).toEqual(['up'])
  })

  it('gives up a server that is frozen, and delivers nothing twice when it goes on', async () => {
    const nats = await natsServer()
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(nats.url, { name: 'b' })]
    for (const { relay } of [a, b]) relay.interest(room)
    await eventually(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    nats.signal('SIGSTOP')
    a.relay.publish(room, [textMessage('before')])
    await eventually(() => a.relay.link.state === 'down' && b.relay.link.state === 'down', 12_000)
    expect(a.seen.links.at(-1)).toMatchObject({ detail: expect.stringMatching(/does not answer|not reachable/) as string })
    nats.signal('SIGCONT')
    await eventually(() => a.relay.link.state === 'up' && b.relay.link.state === 'up', 20_000)
    for (let count = 0; count < 50; count++) a.relay.publish(room, [textMessage(String(count))])
    await eventually(() => b.seen.texts.includes('49'))
    const sent = Array.from({ length: 50 }, (_, count) => String(count))
    expect(b.seen.texts.filter((text) => text !== 'before')).toEqual(sent)
    expect(b.seen.gaps.at(-1)).toBe('all')
  }, 40_000)

  it('waits for a server that is not there yet', async () => {
    const nats = await natsServer()
    await nats.kill()
    const { relay, seen } = begin(nats.url)
    await eventually(() => seen.links.some((link) => link.state === 'down' && link.detail.includes('connection refused')))
    await nats.start()
    await eventually(() => relay.link.state === 'up', 15_000)
  })

  it('goes on with the next server where several are named', async () => {
    const [first, second] = [await natsServer(), await natsServer()]
    const url = `${first.url},${second.url}`
    const { relay } = begin(url)
    await eventually(() => relay.link.state === 'up')
    await first.kill()
    await eventually(() => relay.link.state === 'up' && relay.stats().reconnects === 1, 10_000)
  })

  it('sends nothing to the server for a node without members, and counts what others write there', async () => {
    const nats = await natsServer()
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(nats.url, { name: 'b' })]
    await eventually(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    const before = b.relay.stats().receivedMessages
    for (let count = 0; count < 1_000; count++) a.relay.publish(room, [textMessage(String(count))])
    for (const { relay } of [a, b]) expect(await relay.caughtUp()).toBe(true)
    expect(b.relay.stats().receivedMessages).toBe(before)
    const stranger = await connect({ servers: nats.url })
    stranger.publish('tidewire.db.n.all', 'garbage')
    await stranger.drain()
    await eventually(() => b.seen.faults.length === 1)
    expect(b.seen.faults[0]).toMatchObject({ code: 'malformed' })
    expect(b.relay.link.state).toBe('up')
  })

  it('reports a gap after the server cut it off as a slow consumer', async () => {
    const nats = await natsServer('max_pending: 1MB\nwrite_deadline: "200ms"')
    const proxy = await TcpProxy.start({ port: nats.port })
    later(() => proxy.close())
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(`nats://127.0.0.1:${proxy.port}`, { name: 'b' })]
    for (const { relay } of [a, b]) relay.interest(room)
    await eventually(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    await eventually(() => b.seen.gaps.length > 0 || b.relay.interest(room).ready === null)
    b.seen.gaps.length = 0
    proxy.silence()
    const message = textMessage('x'.repeat(100_000))
    for (let count = 0; count < 200; count++) a.relay.publish(room, [message])
    await a.relay.caughtUp()
    await eventually(() => b.relay.link.state === 'down' || b.relay.stats().reconnects > 0, 15_000)
    proxy.heal()
    await eventually(() => b.relay.link.state === 'up' && b.seen.gaps.includes('all'), 15_000)
    expect(a.relay.link.state).toBe('up')
  }, 40_000)
})
