import { setTimeout as delay } from 'node:timers/promises'
import { Child, cpuMicrosOf } from '../child.ts'
import type { ServerMessage } from '../messages.ts'
import { percentile } from '../statistics.ts'
import { Member } from './member.ts'
import { paces, type PaceName } from './pace.ts'

/** A cluster, or a server without NATS, and its clients. `bare`: what the bare client of NATS does in our place. */
export interface Shape {
  readonly name: string
  readonly program: 'tidewire' | 'bare'
  /** With a member each; there is always one node more that has none. */
  readonly nodes: number
  readonly hasNats: boolean
}

export interface ClusterSample {
  readonly shape: string
  readonly pace: PaceName
  readonly messages: number
  /** CPU microseconds a message, without what an unused node takes: of the sender's node, and of one other with a member. */
  readonly senderMicros: number
  readonly receiverMicros: number | null
  /** Of a bare client that subscribes, and does nothing with what comes. */
  readonly subscriberMicros: number | null
  readonly hereMs: readonly [p50: number, p99: number]
  readonly thereMs: readonly [p50: number, p99: number] | null
  /** Messages that the node without members got since it started. */
  readonly idle: number
  readonly lost: number
}

const STEP_TIMEOUT_MS = 30_000
/** The nodes hear of each other. */
const GREETING_MS = 1_500
/** What is under way is not counted. */
const SETTLE_MS = 100

/** The processes of a shape, and its sockets: one that sends, and a member on each node. */
export class Cluster {
  readonly #shape: Shape
  readonly #children: readonly Child<ServerMessage>[]
  readonly #sender: Member
  readonly #members: readonly Member[]

  private constructor(shape: Shape, children: readonly Child<ServerMessage>[], sender: Member, members: readonly Member[]) {
    this.#shape = shape
    this.#children = children
    this.#sender = sender
    this.#members = members
  }

  static async start(shape: Shape, natsUrl: string): Promise<Cluster> {
    process.env['BENCH_NATS'] = shape.hasNats ? natsUrl : ''
    process.env['BENCH_PREFIX'] = shape.name.replaceAll(/\W/g, '-')
    const file = shape.program === 'bare' ? './servers/bare-nats.ts' : './servers/tidewire-cluster.ts'
    const children = Array.from({ length: shape.nodes + 1 }, () => new Child<ServerMessage>(file, null))
    const ready = await Promise.all(children.map((child) => expectKind(child, 'ready')))
    const sender = await Member.join(ready[0]!)
    const members = await Promise.all(ready.slice(0, shape.nodes).map((node) => Member.join(node)))
    await delay(GREETING_MS)
    return new Cluster(shape, children, sender, members)
  }

  /** Until what is hot is compiled: alone, and many in a turn. */
  async warmUp(forMs: number): Promise<void> {
    await this.#sender.send({ burst: 1, perSecond: 20_000, oneATurn: false, forMs })
    await this.#sender.send({ ...paces.full, forMs })
    await delay(SETTLE_MS)
  }

  async measure(pace: PaceName, forMs: number): Promise<ClusterSample> {
    const { name, program, nodes, hasNats } = this.#shape
    await this.#sender.send({ ...paces[pace], forMs: 100 })
    await delay(SETTLE_MS)
    for (const member of this.#members) member.take()
    const before = this.#cpu()
    const messages = await this.#sender.send({ ...paces[pace], forMs })
    await delay(SETTLE_MS)
    const spent = this.#cpu().map((micros, at) => (micros - before[at]!) / messages)
    const latencies = this.#members.map((member) => member.take())
    const [here, there] = [latencies[0]!, latencies.slice(1).flat()]
    // Without members, the bare client still subscribes.
    const [idleMicros, subscriberMicros] = program === 'bare' ? [0, hasNats ? spent.at(-1)! : null] : [spent.at(-1)!, null]
    return {
      shape: name,
      pace,
      messages,
      senderMicros: spent[0]! - idleMicros,
      receiverMicros: nodes < 2 ? null : spent[1]! - idleMicros,
      subscriberMicros,
      hereMs: [percentile(here, 0.5), percentile(here, 0.99)],
      thereMs: there.length === 0 ? null : [percentile(there, 0.5), percentile(there, 0.99)],
      idle: await this.#receivedByUnused(),
      lost: latencies.reduce((sum, of) => sum + messages - of.length, 0),
    }
  }

  async stop(): Promise<void> {
    for (const member of [this.#sender, ...this.#members]) member.close()
    await Promise.all(this.#children.map((child) => child.stop()))
  }

  #cpu(): number[] {
    return this.#children.map(({ pid }) => cpuMicrosOf(pid) ?? NaN)
  }

  async #receivedByUnused(): Promise<number> {
    const child = this.#children.at(-1)!
    child.send('usage')
    return (await expectKind(child, 'usage')).deliveries ?? 0
  }
}

async function expectKind<Kind extends ServerMessage['kind']>(
  child: Child<ServerMessage>,
  kind: Kind,
): Promise<Extract<ServerMessage, { readonly kind: Kind }>> {
  const message = await child.next(STEP_TIMEOUT_MS)
  if (message.kind !== kind) throw new Error(`the server said "${message.kind}" instead of "${kind}"`)
  return message as Extract<ServerMessage, { readonly kind: Kind }>
}
