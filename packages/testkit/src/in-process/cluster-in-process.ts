import { brokerRelay } from '@tidewire/nats'
import type { Relay, ServerOptions, ServerPorts } from '@tidewire/server'
import { BrokerNetwork, type BrokerEnd } from './broker-in-process.ts'
import { NodeInProcess } from './node-in-process.ts'
import { ServerRuntime } from './server-runtime.ts'

/** Several nodes over one broker in memory, on one clock that is moved by hand. */
export class ClusterInProcess {
  readonly runtime: ServerRuntime = new ServerRuntime()
  readonly network: BrokerNetwork
  readonly nodes: ClusterNode[] = []

  constructor(maxPayloadBytes?: number) {
    this.network = new BrokerNetwork(this.runtime, maxPayloadBytes === undefined ? {} : { maxPayloadBytes })
  }

  add(name: string, options: ServerOptions = {}, ports: Partial<ServerPorts> = {}): ClusterNode {
    const end = this.network.end()
    const relay = brokerRelay({
      broker: end,
      runtime: this.runtime,
      name,
      version: '1',
      databaseId: () => Promise.resolve('db'),
    })
    const node = new ClusterNode(end, relay, options, ports, this.runtime)
    this.nodes.push(node)
    return node
  }

  /** Lets time pass in small steps, and everything that is under way arrive. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 10) {
      await this.settle()
      this.runtime.advance(10)
    }
    await this.settle()
  }

  /** Lets everything that is under way arrive, without time. */
  async settle(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      await new Promise<void>((resolve) => setImmediate(resolve))
      this.runtime.endTurn()
    }
  }

  /** Lets time pass until it is so. */
  async until(read: () => boolean, withinMs = 10_000): Promise<void> {
    for (let passed = 0; passed <= withinMs; passed += 10) {
      await this.settle()
      if (read()) return
      this.runtime.advance(10)
    }
    throw new Error(`it did not happen within ${withinMs} ms`)
  }

  /** Resolves when every node has heard of every other. */
  meet(): Promise<void> {
    return this.until(() => this.nodes.every(({ relay }) => relay.link.state === 'up' && relay.peers.length === this.nodes.length - 1))
  }
}

/** One node of a {@link ClusterInProcess}. */
export class ClusterNode extends NodeInProcess {
  readonly end: BrokerEnd
  readonly relay: Relay

  constructor(end: BrokerEnd, relay: Relay, options: ServerOptions, ports: Partial<ServerPorts>, runtime: ServerRuntime) {
    super(options, { ...ports, relay }, runtime)
    this.end = end
    this.relay = relay
  }
}
