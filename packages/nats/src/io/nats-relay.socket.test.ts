import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import type { Relay } from '@tidewire/server'
import {
  NatsServer,
  natsServerPath,
  programPath,
  relayContract,
  RelayRecorder,
  TcpProxy,
  textMessage,
  Waiter,
  type RelayWorld,
} from '@tidewire/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { checkNatsAddress, type NatsCredentials, type NatsTls } from '../address.ts'
import { natsRelay } from './nats-relay.ts'
import { nodeTestRuntime } from '../../test/runtime.ts'

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
    return until(read, withinMs)
  }

  async settled(relays: readonly Relay[]): Promise<void> {
    // Twice: what the first question made others send is there after the second.
    for (let round = 0; round < 2; round++) for (const relay of relays) await relay.caughtUp()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values(), ...this.spare].map((proxy) => proxy.close()))
  }
}

async function until(read: () => boolean, withinMs = 5_000): Promise<void> {
  const waiter = new Waiter()
  const asking = setInterval(waiter.changed, 5)
  try {
    await waiter.until(read, withinMs)
  } finally {
    clearInterval(asking)
  }
}

interface RelayAt {
  readonly name?: string
  readonly databaseId?: string
  readonly prefix: string
  readonly credentials?: NatsCredentials
  readonly tls?: NatsTls
}

function relayTo(url: string, { name = 'a', databaseId = 'db', prefix, credentials, tls }: RelayAt): Relay {
  const checked = checkNatsAddress({ url, ...(credentials && { credentials }), ...(tls && { tls }) })
  if (!checked.ok) throw new Error(checked.fault)
  return natsRelay({
    address: checked.address,
    runtime: nodeTestRuntime(),
    name,
    version: '1',
    prefix,
    databaseId: () => Promise.resolve(databaseId),
  })
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
  const closing: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
  })

  async function natsServer(configuration = ''): Promise<NatsServer> {
    const own = await NatsServer.start(configuration)
    closing.push(() => own.close())
    return own
  }

  function begin(url: string, options: Partial<RelayAt> = {}): { readonly relay: Relay; readonly seen: RelayRecorder } {
    const relay = relayTo(url, { prefix: 'tidewire', ...options })
    const seen = new RelayRecorder()
    relay.start(seen)
    closing.push(() => relay.close())
    return { relay, seen }
  }

  it('survives a restart of the server, and reports a gap', async () => {
    const nats = await natsServer()
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(nats.url, { name: 'b' })]
    for (const { relay } of [a, b]) relay.interest(room)
    await until(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    await nats.kill()
    await until(() => a.relay.link.state === 'down' && b.relay.link.state === 'down')
    expect(a.seen.links.at(-1)).toMatchObject({ detail: expect.stringContaining(`NATS at 127.0.0.1:${nats.port}`) as string })
    a.seen.gaps.length = b.seen.gaps.length = 0
    await nats.start()
    await until(() => a.seen.gaps.length > 0 && b.seen.gaps.length > 0, 15_000)
    a.relay.publish(room, [textMessage('again')])
    await until(() => b.seen.texts.includes('again'))
    expect(a.seen.peers.map(({ kind }) => kind)).toEqual(['up'])
  })

  it('gives up a server that is frozen, and delivers nothing twice when it goes on', async () => {
    const nats = await natsServer()
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(nats.url, { name: 'b' })]
    for (const { relay } of [a, b]) relay.interest(room)
    await until(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    nats.signal('SIGSTOP')
    a.relay.publish(room, [textMessage('before')])
    await until(() => a.relay.link.state === 'down' && b.relay.link.state === 'down', 12_000)
    expect(a.seen.links.at(-1)).toMatchObject({ detail: expect.stringMatching(/does not answer|not reachable/) as string })
    nats.signal('SIGCONT')
    await until(() => a.relay.link.state === 'up' && b.relay.link.state === 'up', 20_000)
    for (let count = 0; count < 50; count++) a.relay.publish(room, [textMessage(String(count))])
    await until(() => b.seen.texts.includes('49'))
    const sent = Array.from({ length: 50 }, (_, count) => String(count))
    expect(b.seen.texts.filter((text) => text !== 'before')).toEqual(sent)
    expect(b.seen.gaps.at(-1)).toBe('all')
  }, 40_000)

  it('waits for a server that is not there yet', async () => {
    const nats = await natsServer()
    await nats.kill()
    const { relay, seen } = begin(nats.url)
    await until(() => seen.links.some((link) => link.state === 'down' && link.detail.includes('connection refused')))
    await nats.start()
    await until(() => relay.link.state === 'up', 15_000)
  })

  it.each<[string, string, NatsCredentials]>([
    ['a token', 'authorization { token: "right" }', { kind: 'token', token: 'wrong' }],
    ['user and password', 'authorization { user: "u", password: "right" }', { kind: 'password', user: 'u', password: 'wrong' }],
  ])('says that it was refused with %s, without the secret, and goes on trying', async (what, configuration, credentials) => {
    const nats = await natsServer(configuration)
    const { seen } = begin(nats.url, { credentials })
    await until(() => seen.links.some((link) => link.state === 'down' && link.detail.includes(`refused the credentials (${what})`)))
    expect(JSON.stringify(seen.links)).not.toContain('wrong')
    const bare = begin(nats.url)
    await until(() => bare.seen.links.some((link) => link.state === 'down' && link.detail.includes('asks for credentials')))
    const right = credentials.kind === 'token' ? { ...credentials, token: 'right' } : { ...credentials, password: 'right' }
    const good = begin(nats.url, { credentials: right as NatsCredentials })
    await until(() => good.relay.link.state === 'up')
  })

  it('says which permission is missing', async () => {
    const permissions = 'permissions: { subscribe: ["other.>"], publish: ["tidewire.>"] }'
    const nats = await natsServer(`authorization { users: [{ user: "u", password: "p", ${permissions} }] }`)
    const { relay, seen } = begin(nats.url, { credentials: { kind: 'password', user: 'u', password: 'p' } })
    await until(() =>
      seen.links.some((link) => link.state === 'down' && /does not let this user subscribe to tidewire\.db\.n/.test(link.detail)),
    )
    expect(relay.link.state).toBe('down')
    expect(seen.faults.some(({ code }) => code === 'broker')).toBe(true)
  })

  it.skipIf(programPath('openssl') === undefined)('checks the certificate of the server', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidewire-nats-tls-'))
    closing.push(() => Promise.resolve(rmSync(folder, { recursive: true, force: true })))
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    })
    const nats = await natsServer(`tls { cert_file: "${cert}", key_file: "${key}" }`)
    const trusting = begin(nats.url.replace('nats:', 'tls:'), { tls: { caFile: cert } })
    await until(() => trusting.relay.link.state === 'up')
    const strict = begin(nats.url.replace('nats:', 'tls:'))
    await until(() => strict.seen.links.some((link) => link.state === 'down' && /self.signed certificate/.test(link.detail)))
    expect(strict.relay.link.state).toBe('down')
  })

  it('goes on with the next server where several are named', async () => {
    const [first, second] = [await natsServer(), await natsServer()]
    const url = `${first.url},${second.url}`
    const { relay } = begin(url)
    await until(() => relay.link.state === 'up')
    await first.kill()
    await until(() => relay.link.state === 'up' && relay.stats().reconnects === 1, 10_000)
  })

  it('says that a credentials file is missing', async () => {
    const nats = await natsServer()
    const { seen } = begin(nats.url, { credentials: { kind: 'file', path: '/nowhere/node.creds' } })
    await until(() =>
      seen.links.some((link) => link.state === 'down' && link.detail === 'The credentials file /nowhere/node.creds does not exist'),
    )
  })

  it('refuses a server without TLS where TLS is required', async () => {
    const nats = await natsServer()
    const { seen } = begin(nats.url.replace('nats:', 'tls:'))
    await until(() => seen.links.some((link) => link.state === 'down' && link.detail.includes('offers no TLS')))
  })

  it('sends nothing to the server for a node without members, and counts what others write there', async () => {
    const nats = await natsServer()
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(nats.url, { name: 'b' })]
    await until(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    const before = b.relay.stats().receivedMessages
    for (let count = 0; count < 1_000; count++) a.relay.publish(room, [textMessage(String(count))])
    for (const { relay } of [a, b]) expect(await relay.caughtUp()).toBe(true)
    expect(b.relay.stats().receivedMessages).toBe(before)
    const stranger = await connect({ servers: nats.url })
    stranger.publish('tidewire.db.n.all', 'garbage')
    await stranger.drain()
    await until(() => b.seen.faults.length === 1)
    expect(b.seen.faults[0]).toMatchObject({ code: 'malformed' })
    expect(b.relay.link.state).toBe('up')
  })

  it('reports a gap after the server cut it off as a slow consumer', async () => {
    const nats = await natsServer('max_pending: 1MB\nwrite_deadline: "200ms"')
    const proxy = await TcpProxy.start({ port: nats.port })
    closing.push(() => proxy.close())
    const [a, b] = [begin(nats.url, { name: 'a' }), begin(`nats://127.0.0.1:${proxy.port}`, { name: 'b' })]
    for (const { relay } of [a, b]) relay.interest(room)
    await until(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    await until(() => b.seen.gaps.length > 0 || b.relay.interest(room).ready === null)
    b.seen.gaps.length = 0
    proxy.silence()
    const message = textMessage('x'.repeat(100_000))
    for (let count = 0; count < 200; count++) a.relay.publish(room, [message])
    await a.relay.caughtUp()
    await until(() => b.relay.link.state === 'down' || b.relay.stats().reconnects > 0, 15_000)
    proxy.heal()
    await until(() => b.relay.link.state === 'up' && b.seen.gaps.includes('all'), 15_000)
    expect(a.relay.link.state).toBe('up')
  }, 40_000)
})
