import { relayContract, RelayRecorder, textMessage } from '@tidewire/testkit'
import { describe, expect, it } from 'vitest'
import { pair, room, roomSubject, World } from '../test/world.ts'
import { encodeBatch, encodeBeat } from './envelope.ts'

relayContract('a relay over a broker in memory', () => Promise.resolve(new World()))
let delay = 0
relayContract('a relay over a slow broker', () => Promise.resolve(new World(() => (delay = (delay + 7) % 40))))

describe('a relay', () => {
  it('counts garbage on its subjects, and reports it once in ten seconds', async () => {
    const { world, b } = await pair()
    for (let count = 0; count < 100; count++) {
      world.network.inject(roomSubject, Buffer.from(`garbage ${count}`))
      world.network.inject('tidewire.db.n.all', Uint8Array.of())
    }
    await world.until(() => b.relay.stats().faults.malformed === 200)
    expect(b.seen.faults).toEqual([{ code: 'malformed', detail: expect.stringContaining('envelope') as string, count: 1 }])
    await world.until(() => b.seen.faults.length === 2, 11_000)
    expect(b.seen.faults[1]).toMatchObject({ code: 'malformed', count: 199 })
    expect(b.seen.gaps).toEqual([])
  })

  it('reports a gap on a topic where another version was sent', async () => {
    const { world, b } = await pair()
    const later = encodeBatch('AAAAAAAAAAAA', { number: 1, previous: 0 }, [textMessage('1')])
    later[2] = 2
    world.network.inject(roomSubject, later)
    await world.until(() => b.seen.gaps.length === 1)
    expect(b.seen.gaps).toEqual([[room]])
    expect(b.seen.faults).toMatchObject([{ code: 'version' }])
    expect(b.seen.messages).toEqual([])
  })

  it('gives up a broker that stops answering, and says so', async () => {
    const { world, a, b } = await pair()
    a.end.blackhole()
    await world.until(() => a.relay.link.state === 'down', 10_000)
    expect(a.relay.link).toMatchObject({ detail: 'a broker in memory does not answer' })
    await world.until(() => a.relay.link.state === 'up', 10_000)
    await world.until(() => a.seen.gaps.length > 0 && b.seen.gaps.length > 0, 5_000)
  })

  it('forgets a node that was silent for a minute, and reports a gap when it is heard again', async () => {
    const { world, a, b } = await pair()
    world.network.reaches = (from) => from !== a.end
    await world.pass(55_000)
    expect(b.relay.peers).toHaveLength(1)
    await world.until(() => b.relay.peers.length === 0, 10_000)
    world.network.reaches = () => true
    await world.until(() => b.relay.peers.length === 1 && b.seen.gaps.length === 1)
    expect(b.seen.peers.map(({ kind }) => kind)).toEqual(['up', 'down', 'up'])
  })

  it('starts without a broker, says why it is alone, and joins later', async () => {
    const world = new World()
    const relay = world.relay('a')
    const seen = new RelayRecorder()
    world.cut(relay)
    relay.start(seen)
    const interest = relay.interest(room)
    expect(await interest.ready).toBe(false)
    await world.pass(20_000)
    expect(seen.links.at(-1)).toMatchObject({ state: 'down', detail: 'a broker in memory was cut' })
    world.heal(relay)
    await world.until(() => relay.link.state === 'up', 10_000)
    expect(seen.gaps).toEqual(['all'])
    expect(relay.interest(room).ready).toBeNull()
  })

  it('is back three quarters of a second after a broker that was away for long, so that no node waits for another in vain', async () => {
    const world = new World()
    const relays = Array.from({ length: 20 }, (_, at) => world.relay(`n${at}`))
    for (const relay of relays) relay.start(new RelayRecorder())
    await world.until(() => relays.every(({ link }) => link.state === 'up'))
    for (const relay of relays) world.cut(relay)
    await world.pass(60_000)
    for (const relay of relays) world.heal(relay)
    await world.until(() => relays.every(({ link }) => link.state === 'up'), 770)
  })

  it('waits for the id of the database, and says so', async () => {
    const world = new World()
    let known: (id: string) => void = () => {}
    const relay = world.relay('a', new Promise<string>((resolve) => (known = resolve)))
    const seen = new RelayRecorder()
    relay.start(seen)
    const interest = relay.interest(room)
    await world.pass(3_000)
    expect(seen.links).toMatchObject([{ state: 'down', detail: expect.stringContaining('the database') as string }])
    expect(await interest.ready).toBe(false)
    expect(relay.publish(room, [textMessage('1')])).toBe(false)
    known('db')
    await world.until(() => relay.link.state === 'up')
    expect(relay.interest(room).ready).toBeNull()
  })

  it('sends what came in one turn as one message of the broker', async () => {
    const { a } = await pair()
    const before = a.end.published.get(roomSubject) ?? 0
    a.relay.publish(
      room,
      Array.from({ length: 30 }, (_, at) => textMessage(String(at))),
    )
    expect(a.end.published.get(roomSubject)).toBe(before + 1)
  })

  it('refuses a broker that takes too little at once, and says so', async () => {
    const world = new World(undefined, 100)
    const relay = world.relay('a')
    const seen = new RelayRecorder()
    relay.start(seen)
    await world.pass(3_000)
    expect(relay.link).toMatchObject({ state: 'down', detail: expect.stringMatching(/takes 100 bytes at once.*4096/) as string })
    expect(relay.publish(room, [textMessage('1')])).toBe(false)
  })

  it('does not send what is too large for any node, and says so', async () => {
    const { world, a, b } = await pair()
    expect(a.relay.publish(room, [textMessage('x'.repeat(64 * 1024 * 1024))])).toBe(false)
    expect(a.seen.faults).toMatchObject([{ code: 'overflow', detail: expect.stringContaining('larger than') as string, count: 1 }])
    await world.until(() => b.seen.gaps.length === 1)
  })

  it('keeps a bounded number of nodes, and of their names no more than a line holds', async () => {
    const { world, b } = await pair()
    const beat = (at: number) =>
      encodeBeat(Buffer.from(String(at).padStart(9)).toString('base64url'), {
        number: 1,
        previous: 0,
        sent: [],
        state: 'up',
        name: 'x'.repeat(2_000),
        version: '1'.repeat(1_000),
        startedAt: 0,
        spreadMs: 0,
      })
    for (let at = 0; at < 3_000; at++) world.network.inject('tidewire.db.n.all', beat(at))
    await world.until(() => (b.relay.stats().faults['malformed'] ?? 0) >= 2_000)
    expect(b.relay.peers).toHaveLength(1_000)
    expect(Math.max(...b.relay.peers.map(({ name, version }) => name.length + version.length))).toBeLessThanOrEqual(510)
    expect(b.relay.peers.map(({ name }) => name)).toContain('a')
  })

  it('does not keep more than it can bound for a broker that confirms nothing', async () => {
    const { world, a } = await pair()
    a.end.blackhole()
    const message = textMessage('x'.repeat(4_000))
    let sent = 0
    while (sent < 100_000 && a.relay.publish(room, [message])) sent++
    expect(sent * 4_000).toBeLessThan(66 * 1024 * 1024)
    expect(a.relay.stats().faults.overflow).toBe(1)
    await world.until(() => a.relay.link.state === 'down', 10_000)
  })
})
