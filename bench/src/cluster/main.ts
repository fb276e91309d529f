/** What it costs that several nodes are one: CPU and latency of a broadcast that goes through NATS to a member on another node. */
import { setTimeout as delay } from 'node:timers/promises'
// Not by name: tests and benchmarks start it in the same way.
import { NatsServer } from '../../../packages/testkit/src/programs/nats-server.ts'
import { Child, cpuMicrosOf } from '../child.ts'
import type { ServerMessage } from '../messages.ts'
import { percentile } from '../statistics.ts'
import { besideBefore, type BesideSample } from './before.ts'
import { Member, type Pace } from './member.ts'

export interface ClusterOptions {
  readonly rounds: number
  readonly quick: boolean
  /** A folder with this repository at an earlier commit, built; null: nothing is set beside it. */
  readonly base: string | null
}

/** A cluster, or a server without NATS, and its clients. */
export interface Shape {
  readonly name: string
  /** With a member each; there is always one node more that has none. */
  readonly nodes: number
  readonly hasNats: boolean
  readonly membersOnFirst: number
}

/** `lone`: one message a turn. `gathered`: 16 written at once. `busy`: the rate at which latency is measured. */
export type PaceName = 'lone' | 'gathered' | 'busy'

export interface ClusterSample {
  readonly shape: string
  readonly pace: PaceName
  readonly messages: number
  /** CPU microseconds a message, without what an unused node takes: of the sender's node, and of one other with a member. */
  readonly senderMicros: number
  readonly receiverMicros: number | null
  readonly hereMs: readonly [p50: number, p99: number]
  readonly thereMs: readonly [p50: number, p99: number] | null
  /** Messages that the node without members got. */
  readonly idle: number
  readonly lost: number
}

export interface ClusterFigures {
  readonly samples: readonly ClusterSample[]
  readonly beside: readonly BesideSample[]
}

export const shapes: readonly Shape[] = [
  { name: 'no NATS', nodes: 1, hasNats: false, membersOnFirst: 1 },
  { name: 'no NATS, three members more', nodes: 1, hasNats: false, membersOnFirst: 4 },
  { name: '1 node', nodes: 1, hasNats: true, membersOnFirst: 1 },
  { name: '2 nodes', nodes: 2, hasNats: true, membersOnFirst: 1 },
  { name: '3 nodes', nodes: 3, hasNats: true, membersOnFirst: 1 },
]

export const paces: Readonly<Record<PaceName, Omit<Pace, 'forMs'>>> = {
  lone: { burst: 1, perSecond: 1_000 },
  gathered: { burst: 16, perSecond: 5_000 },
  busy: { burst: 1, perSecond: 5_000 },
}

const STEP_TIMEOUT_MS = 30_000

export async function benchCluster({ rounds, quick, base }: ClusterOptions): Promise<ClusterFigures> {
  const samples: ClusterSample[] = []
  const beside: BesideSample[] = []
  const nats = await NatsServer.start()
  try {
    for (let round = 0; round < rounds; round++) {
      for (const shape of shapes) samples.push(...(await measure(shape, nats.url, quick ? 500 : 2_000)))
      if (base !== null) beside.push(...(await besideBefore(base, round, quick)))
      console.error(`round ${round + 1} of ${rounds}`)
    }
  } finally {
    await nats.close()
  }
  return { samples, beside }
}

async function measure({ name, nodes, hasNats, membersOnFirst }: Shape, natsUrl: string, forMs: number): Promise<ClusterSample[]> {
  process.env['BENCH_NATS'] = hasNats ? natsUrl : ''
  const children = Array.from({ length: nodes + 1 }, () => new Child<ServerMessage>('./servers/tidewire-cluster.ts', null))
  const members: Member[] = []
  try {
    const ready = await Promise.all(children.map((child) => expectKind(child, 'ready')))
    const joining = [...Array.from({ length: membersOnFirst }, () => ready[0]!), ...ready.slice(1, nodes)]
    const sender = await Member.join(ready[0]!)
    members.push(sender)
    const receivers = await Promise.all(joining.map((node) => Member.join(node)))
    members.push(...receivers)
    // The nodes hear of each other.
    await delay(1_500)
    // Ten thousand messages, until what is hot is compiled.
    await sender.send({ ...paces.busy, forMs })
    const samples: ClusterSample[] = []
    for (const pace of Object.keys(paces) as PaceName[]) {
      await sender.send({ ...paces[pace], forMs: 200 })
      // What is under way then is not counted.
      await delay(300)
      for (const receiver of receivers) receiver.take()
      const [before, startedAt] = [cpuOf(children), performance.now()]
      const messages = await sender.send({ ...paces[pace], forMs })
      await delay(300)
      const spent = cpuOf(children).map((micros, at) => (micros - before[at]!) / messages)
      const latencies = receivers.map((receiver) => receiver.take())
      const [here, there] = [latencies.slice(0, membersOnFirst).flat(), latencies.slice(membersOnFirst).flat()]
      const idleMicros = spent.at(-1)!
      samples.push({
        shape: name,
        pace,
        messages,
        senderMicros: spent[0]! - idleMicros,
        receiverMicros: nodes < 2 ? null : spent[1]! - idleMicros,
        hereMs: [percentile(here, 0.5), percentile(here, 0.99)],
        thereMs: there.length === 0 ? null : [percentile(there, 0.5), percentile(there, 0.99)],
        idle: await receivedBy(children.at(-1)!),
        lost: latencies.reduce((sum, of) => sum + messages - of.length, 0),
      })
      const seconds = (performance.now() - startedAt) / 1_000
      console.error(`${name}, ${pace}: ${messages} in ${seconds.toFixed(1)} s, ${spent.map((micros) => micros.toFixed(1)).join(' ')} µs`)
    }
    return samples
  } finally {
    for (const member of members) member.close()
    await Promise.all(children.map((child) => child.stop()))
  }
}

function cpuOf(children: readonly Child<ServerMessage>[]): number[] {
  return children.map(({ pid }) => cpuMicrosOf(pid) ?? NaN)
}

async function receivedBy(child: Child<ServerMessage>): Promise<number> {
  child.send('usage')
  return (await expectKind(child, 'usage')).deliveries ?? 0
}

async function expectKind<Kind extends ServerMessage['kind']>(
  child: Child<ServerMessage>,
  kind: Kind,
): Promise<Extract<ServerMessage, { readonly kind: Kind }>> {
  const message = await child.next(STEP_TIMEOUT_MS)
  if (message.kind !== kind) throw new Error(`the server said "${message.kind}" instead of "${kind}"`)
  return message as Extract<ServerMessage, { readonly kind: Kind }>
}
