import type { Relay } from '@tidewire/server'
import { BrokerNetwork, RelayRecorder, ServerRuntime, settle, type BrokerEnd, type RelayWorld } from '@tidewire/testkit'
import { brokerRelay } from '../src/io/nats-relay.ts'

/** Relays over a broker in memory, on a clock that is moved by hand. */
export class World implements RelayWorld {
  readonly runtime = new ServerRuntime()
  readonly network: BrokerNetwork
  readonly ends = new Map<Relay, BrokerEnd>()
  readonly maxPayloadBytes: number

  constructor(delayMs?: () => number, maxPayloadBytes = 4_096) {
    this.maxPayloadBytes = maxPayloadBytes
    this.network = new BrokerNetwork(this.runtime, { maxPayloadBytes, ...(delayMs && { delayMs }) })
  }

  relay(name: string, databaseId: string | Promise<string> = 'db'): Relay {
    const end = this.network.end()
    const relay = brokerRelay({
      broker: end,
      runtime: this.runtime,
      name,
      version: '1',
      databaseId: () => Promise.resolve(databaseId),
    })
    this.ends.set(relay, end)
    return relay
  }

  cut(relay: Relay): void {
    this.ends.get(relay)!.cut()
  }

  heal(relay: Relay): void {
    this.ends.get(relay)!.heal()
  }

  async until(read: () => boolean, withinMs = 5_000): Promise<void> {
    for (let passed = 0; passed <= withinMs; passed += 10) {
      await settle()
      if (read()) return
      this.runtime.advance(10)
    }
    throw new Error(`it did not happen within ${withinMs} ms`)
  }

  async settled(): Promise<void> {
    await this.pass(100)
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      await settle()
      this.runtime.advance(10)
    }
    await settle()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

export const room = { name: 'room', private: false }
export const roomSubject = `tidewire.db.t.${Buffer.from('public:room').toString('base64url')}`

export interface Node {
  readonly relay: Relay
  readonly end: BrokerEnd
  readonly seen: RelayRecorder
}

/** Two nodes that know each other and follow a room. */
export async function pair(): Promise<{ readonly world: World; readonly a: Node; readonly b: Node }> {
  const world = new World()
  const [a, b] = ['a', 'b'].map((name) => {
    const relay = world.relay(name)
    const seen = new RelayRecorder()
    relay.start(seen)
    relay.interest(room)
    return { relay, end: world.ends.get(relay)!, seen }
  }) as [Node, Node]
  await world.until(() => a.relay.peers.length === 1 && b.relay.peers.length === 1)
  await world.pass(4_000)
  for (const { seen } of [a, b]) seen.gaps.length = 0
  return { world, a, b }
}
