/** What it costs that several nodes are one: CPU and latency of a broadcast that goes through NATS to a member on another node. */
import { setTimeout as delay } from 'node:timers/promises'
// Not by name: tests and benchmarks start it in the same way.
import { NatsServer } from '../../../packages/testkit/src/programs/nats-server.ts'
import { Child, cpuMicrosOf } from '../child.ts'
import type { ServerMessage } from '../messages.ts'
import { decimals, NOTHING, table } from '../report.ts'
import { median, percentile } from '../statistics.ts'
import { Member } from './member.ts'

export interface ClusterOptions {
  readonly rounds: number
  readonly quick: boolean
}

interface Shape {
  readonly title: string
  /** 0: a server without NATS. */
  readonly nodes: number
  /** Messages that a sender writes at once. */
  readonly burst: number
  readonly perSecond: number
}

export interface ClusterSample {
  readonly title: string
  readonly nodes: number
  readonly messages: number
  /** CPU microseconds a message: of the node of the sender, and of one other node with a member. */
  readonly senderMicros: number
  readonly receiverMicros: number | null
  readonly hereMs: readonly [p50: number, p99: number]
  readonly thereMs: readonly [p50: number, p99: number] | null
  /** Messages that a node without members got. */
  readonly idle: number
  readonly lost: number
}

const STEP_TIMEOUT_MS = 30_000

function shapes(): Shape[] {
  return [0, 1, 2, 3].flatMap((nodes) => [
    { title: `${nodeText(nodes)}, one at a time`, nodes, burst: 1, perSecond: 1_000 },
    { title: `${nodeText(nodes)}, 16 at a time`, nodes, burst: 16, perSecond: 5_000 },
  ])
}

function nodeText(nodes: number): string {
  return nodes === 0 ? 'no NATS' : nodes === 1 ? '1 node' : `${nodes} nodes`
}

export async function benchCluster({ rounds, quick }: ClusterOptions): Promise<{ readonly samples: readonly ClusterSample[] }> {
  const samples: ClusterSample[] = []
  const nats = await NatsServer.start()
  try {
    for (let round = 0; round < rounds; round++)
      for (const shape of shapes()) {
        const sample = await measure(shape, nats.url, quick ? 500 : 5_000)
        samples.push(sample)
        console.error(`round ${round + 1}  ${rowOf([sample]).join('  ')}`)
      }
  } finally {
    await nats.close()
  }
  return { samples }
}

export function clusterTable(samples: readonly ClusterSample[]): readonly string[] {
  const head = [
    '',
    'CPU µs at the sender',
    'at a receiver',
    'here p50',
    'p99 ms',
    'there p50',
    'p99 ms',
    'to a node without members',
    'lost',
  ]
  return table(
    head,
    [...new Set(samples.map(({ title }) => title))].map((title) => rowOf(samples.filter((each) => each.title === title))),
  )
}

function rowOf(samples: readonly ClusterSample[]): string[] {
  const of = (read: (sample: ClusterSample) => number | null | undefined): number | null => {
    const values = samples.map(read).filter((value) => typeof value === 'number')
    return values.length === 0 ? null : median(values)
  }
  const total = (read: (sample: ClusterSample) => number): string => String(samples.reduce((sum, sample) => sum + read(sample), 0))
  return [
    samples[0]!.title,
    decimals(
      of(({ senderMicros }) => senderMicros),
      1,
    ),
    decimals(
      of(({ receiverMicros }) => receiverMicros),
      1,
    ),
    decimals(
      of(({ hereMs }) => hereMs[0]),
      2,
    ),
    decimals(
      of(({ hereMs }) => hereMs[1]),
      2,
    ),
    decimals(
      of(({ thereMs }) => thereMs?.[0]),
      2,
    ),
    decimals(
      of(({ thereMs }) => thereMs?.[1]),
      2,
    ),
    samples[0]!.nodes < 1 ? NOTHING : total(({ idle }) => idle),
    total(({ lost }) => lost),
  ]
}

/** The sender and a member of its node on the first; a member on each other; one more node without members. */
async function measure({ title, nodes, burst, perSecond }: Shape, natsUrl: string, measureMs: number): Promise<ClusterSample> {
  process.env['BENCH_NATS'] = nodes === 0 ? '' : natsUrl
  const children = Array.from(
    { length: Math.max(1, nodes) + (nodes === 0 ? 0 : 1) },
    () => new Child<ServerMessage>('./servers/tidewire-cluster.ts', null),
  )
  const members: Member[] = []
  try {
    const ready = await Promise.all(children.map((child) => expectKind(child, 'ready')))
    const busy = ready.slice(0, Math.max(1, nodes))
    const sender = await Member.join(busy[0]!)
    const receivers = await Promise.all(busy.map((node) => Member.join(node)))
    members.push(sender, ...receivers)
    // The nodes hear of each other, and the first messages compile what is hot.
    await delay(1_500)
    await sender.send({ burst, perSecond, forMs: Math.min(1_000, measureMs) })
    // What was sent to warm up is not counted.
    await delay(300)
    for (const receiver of receivers) receiver.take()
    const before = children.map(({ pid }) => cpuMicrosOf(pid) ?? 0)
    const messages = await sender.send({ burst, perSecond, forMs: measureMs })
    await delay(300)
    const spent = children.map(({ pid }, at) => ((cpuMicrosOf(pid) ?? 0) - before[at]!) / messages)
    const latencies = receivers.map((receiver) => receiver.take())
    const here = latencies[0]!
    const there = latencies.slice(1).flat()
    const last = children.at(-1)!
    last.send('usage')
    const usage = nodes === 0 ? null : await expectKind(last, 'usage')
    return {
      title,
      nodes,
      messages,
      senderMicros: spent[0]!,
      receiverMicros: nodes < 2 ? null : spent[1]!,
      hereMs: [percentile(here, 0.5), percentile(here, 0.99)],
      thereMs: there.length === 0 ? null : [percentile(there, 0.5), percentile(there, 0.99)],
      idle: usage?.deliveries ?? 0,
      lost: latencies.reduce((sum, of) => sum + messages - of.length, 0),
    }
  } finally {
    for (const member of members) member.close()
    await Promise.all(children.map((child) => child.stop()))
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
