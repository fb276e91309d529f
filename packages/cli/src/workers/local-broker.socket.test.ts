import { existsSync, statSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { brokerRelay } from '@tidewire/nats'
import { nodeRuntime, type Relay, type Runtime } from '@tidewire/server'
import { eventually, relayContract, RelayRecorder, textMessage, type RelayWorld } from '@tidewire/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { localBroker } from './local-broker.ts'
import { LocalBrokerServer } from './local-broker-server.ts'
import { workerRelay } from './worker-relay.ts'

/** In front of the broker's socket; can be cut. */
class Way {
  readonly path: string
  readonly #pairs = new Set<Socket>()
  readonly #server: Server
  #cut = false

  constructor(to: string, number: number) {
    this.path = `${to}.${number}`
    this.#server = createServer((near) => {
      if (this.#cut) return void near.destroy()
      const far = connect(to)
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#pairs.add(one)
        one.pipe(other)
        one.on('error', () => {})
        one.on('close', () => {
          this.#pairs.delete(one)
          other.destroy()
        })
      }
    }).listen(this.path)
  }

  cut(): void {
    this.#cut = true
    for (const socket of this.#pairs) socket.destroy()
  }

  heal(): void {
    this.#cut = false
  }

  close(): void {
    this.cut()
    this.#server.close()
  }
}

/** Resolves when the broker has taken all that the relay sent; the deadline is that of the test. */
async function confirmed(relay: Relay): Promise<void> {
  while (!(await relay.caughtUp())) await new Promise((resolve) => setImmediate(resolve))
}

/** Timers that keep the test alive. */
function runtime(): Runtime {
  return {
    ...nodeRuntime(),
    setTimer(callback, afterMs) {
      const timer = setTimeout(callback, afterMs)
      return { cancel: () => clearTimeout(timer) }
    },
  }
}

class World implements RelayWorld {
  readonly maxPayloadBytes = 8_192
  readonly #server: LocalBrokerServer
  readonly #ways = new Map<Relay, Way>()

  constructor(server: LocalBrokerServer) {
    this.#server = server
  }

  relay(name: string, databaseId = 'db'): Relay {
    const way = new Way(this.#server.path, this.#ways.size)
    const relay = brokerRelay({
      broker: localBroker({ path: way.path, maxPayloadBytes: this.maxPayloadBytes }),
      runtime: runtime(),
      name,
      version: '1',
      databaseId: () => Promise.resolve(databaseId),
    })
    this.#ways.set(relay, way)
    return relay
  }

  cut(relay: Relay): void {
    this.#ways.get(relay)!.cut()
  }

  heal(relay: Relay): void {
    this.#ways.get(relay)!.heal()
  }

  until(read: () => boolean, withinMs?: number): Promise<void> {
    return eventually(read, withinMs)
  }

  async settled(relays: readonly Relay[]): Promise<void> {
    // Twice: what the first question made others send is there after the second.
    for (let round = 0; round < 2; round++) for (const relay of relays) await relay.caughtUp()
  }

  async close(): Promise<void> {
    for (const way of this.#ways.values()) way.close()
    await this.#server.close()
  }
}

relayContract('a relay on a local socket', async () => new World(await LocalBrokerServer.start()))

describe('a broker on a local socket', () => {
  const room = { name: 'room', private: false }
  const relays: Relay[] = []
  let server: LocalBrokerServer
  beforeEach(async () => {
    server = await LocalBrokerServer.start()
  })
  afterEach(async () => {
    for (const relay of relays.splice(0)) await relay.close()
    await server.close()
  })

  function begin(name: string): { readonly relay: Relay; readonly seen: RelayRecorder } {
    const relay = workerRelay(server.path, name, runtime())
    const seen = new RelayRecorder()
    relay.start(seen)
    relays.push(relay)
    return { relay, seen }
  }

  test.skipIf(process.platform === 'win32')('can be opened by this user only, and leaves nothing behind', async () => {
    const other = await LocalBrokerServer.start()
    const folder = dirname(other.path)
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    await other.close()
    expect(existsSync(folder)).toBe(false)
  })

  test('sends nothing back to its sender', async () => {
    const { relay } = begin('a')
    relay.interest(room)
    await eventually(() => relay.link.state === 'up')
    for (let count = 0; count < 10; count++) relay.publish(room, [textMessage('1')])
    expect(await relay.caughtUp()).toBe(true)
    expect(relay.stats().receivedBytes).toBe(0)
  })

  test.each([
    ['no frame', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a frame of four gigabytes', Buffer.from([255, 255, 255, 255, 3])],
    ['an unknown kind', Buffer.from([0, 0, 0, 1, 9])],
    ['a subject that is longer than its frame', Buffer.from([0, 0, 0, 3, 3, 255, 255])],
    ['an empty frame', Buffer.from([0, 0, 0, 0, 0])],
  ])('cuts off the sender of %s, and no other', async (_, bytes) => {
    const { relay } = begin('a')
    await eventually(() => relay.link.state === 'up')
    const stranger = connect(server.path)
    const ended = new Promise((resolve) => stranger.once('close', resolve))
    stranger.on('error', () => {}).write(bytes)
    await ended
    expect(await relay.caughtUp()).toBe(true)
    expect(relay.stats().reconnects).toBe(0)
  })

  test('cuts off a session that does not read, and goes on delivering to the others', async () => {
    const [a, b] = [begin('a'), begin('b')]
    for (const { relay } of [a, b]) relay.interest(room)
    await eventually(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
    await eventually(() => b.relay.interest(room).ready === null)
    b.seen.gaps.length = 0
    const deaf = connect(server.path)
    const subject = subscribeTo('tidewire.workers.t.cHVibGljOnJvb20')
    deaf.write(subject)
    deaf.pause()
    const cut = new Promise((resolve) => deaf.once('close', resolve))
    deaf.on('error', () => {})
    const message = textMessage('x'.repeat(900_000))
    let sent = 0
    while (sent < 91) {
      expect(a.relay.publish(room, [message])).toBe(true)
      sent++
      // A relay refuses messages while more than 64 MB are unconfirmed, which is a gap, too.
      if (sent % 30 === 0) await confirmed(a.relay)
    }
    await eventually(() => b.seen.messages.length === sent, 15_000)
    deaf.resume()
    await cut
    expect(b.seen.gaps).toEqual([])
  }, 40_000)
})

function subscribeTo(subject: string): Buffer {
  const head = Buffer.from([0, 0, 0, 1 + subject.length, 1])
  return Buffer.concat([head, Buffer.from(subject)])
}
