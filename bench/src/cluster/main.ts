/** What it costs that several nodes are one: CPU and latency of a broadcast that goes through NATS to a member on another node. */
// Not by name: tests and benchmarks start it in the same way.
import { NatsServer } from '../../../packages/testkit/src/programs/nats-server.ts'
import { besideBefore, type BesideSample } from './before.ts'
import { Cluster, type ClusterSample, type Shape } from './cluster.ts'
import { paces, type PaceName } from './pace.ts'
import { Publisher, type PublishedSample } from './publisher.ts'

export interface ClusterOptions {
  readonly rounds: number
  readonly quick: boolean
  /** A folder with this repository at an earlier commit, built; null: nothing is set beside it. */
  readonly base: string | null
}

export interface ClusterFigures {
  readonly samples: readonly ClusterSample[]
  readonly published: readonly PublishedSample[]
  readonly beside: readonly BesideSample[]
}

/** Those that are set beside each other run at the same time, and are measured in turns of half a second. */
const groups: readonly (readonly Shape[])[] = [
  [
    { name: 'bare, no NATS', program: 'bare', nodes: 1, hasNats: false },
    { name: 'no NATS', program: 'tidewire', nodes: 1, hasNats: false },
    { name: 'bare, 2 nodes', program: 'bare', nodes: 2, hasNats: true },
    { name: '2 nodes', program: 'tidewire', nodes: 2, hasNats: true },
    { name: '1 node', program: 'tidewire', nodes: 1, hasNats: true },
  ],
  [{ name: '3 nodes', program: 'tidewire', nodes: 3, hasNats: true }],
]

export const shapes: readonly Shape[] = groups.flat()

const TURN_MS = 500
const TURNS_A_ROUND = 3

export async function benchCluster({ rounds, quick, base }: ClusterOptions): Promise<ClusterFigures> {
  const samples: ClusterSample[] = []
  const published: PublishedSample[] = []
  const beside: BesideSample[] = []
  const turns = quick ? 1 : TURNS_A_ROUND
  const nats = await NatsServer.start()
  try {
    for (let round = 0; round < rounds; round++) {
      for (const group of groups) samples.push(...(await measureGroup(group, nats.url, turns)))
      published.push(...(await measurePublisher(nats.url, turns)))
      if (base !== null) beside.push(...(await besideBefore(base, round, quick)))
      console.error(`round ${round + 1} of ${rounds}`)
    }
  } finally {
    await nats.close()
  }
  return { samples, published, beside }
}

async function measureGroup(group: readonly Shape[], natsUrl: string, turns: number): Promise<ClusterSample[]> {
  const clusters = await Promise.all(group.map((shape) => Cluster.start(shape, natsUrl)))
  const samples: ClusterSample[] = []
  try {
    for (const cluster of clusters) await cluster.warmUp(2 * TURN_MS)
    for (let turn = 0; turn < turns; turn++)
      for (const pace of Object.keys(paces) as PaceName[])
        for (const cluster of clusters) {
          const sample = await cluster.measure(pace, TURN_MS)
          const { shape, messages, senderMicros, receiverMicros } = sample
          console.error(`${shape}, ${pace}: ${messages}, ${senderMicros.toFixed(1)} and ${receiverMicros?.toFixed(1) ?? '–'} µs`)
          samples.push(sample)
        }
  } finally {
    for (const cluster of clusters) await cluster.stop()
  }
  return samples
}

async function measurePublisher(natsUrl: string, turns: number): Promise<PublishedSample[]> {
  const publisher = await Publisher.start(natsUrl)
  const samples: PublishedSample[] = []
  try {
    await publisher.warmUp(2 * TURN_MS)
    for (let turn = 0; turn < turns; turn++)
      for (const pace of Object.keys(paces) as PaceName[]) samples.push(await publisher.measure(pace, TURN_MS))
  } finally {
    await publisher.stop()
  }
  return samples
}
