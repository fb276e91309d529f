/** NATS as a cluster of two servers that is parted, loses one, goes as a whole, and is away while a node dies, under load. */
import { setTimeout as delay } from 'node:timers/promises'
import { expect } from 'vitest'
import type { ClusterClient } from './cluster-client.ts'
import type { ClusterPlay } from './cluster-play.ts'

export interface OutagePlan {
  readonly clients: number
  /** Longer than nodes take to see that another is gone. */
  readonly outageMs: number
}

const SETTLED_WITHIN_MS = 10_000

export async function proveOutages(play: ClusterPlay, { clients, outageMs }: OutagePlan): Promise<void> {
  await play.join(clients)
  play.load(6, 50)
  await play.allSeeAll(SETTLED_WITHIN_MS)

  // The links of both sides are up: each can only think that the other is gone.
  await outage(play, play.partNats(outageMs), () => isWhole(near(play), near(play)) && isWhole(far(play), far(play)))

  // The node of that server knows that it is cut off, and takes no client out of view. To the others it is gone.
  await play.watchPresence(far(play))
  await outage(play, play.restartNats(outageMs, [play.nats[1]!]), () => isWhole(near(play), near(play)) && isWhole(far(play), play.clients))

  await play.watchPresence()
  await outage(play, play.restartNats(outageMs), () => true)
  // As long as it takes to give up a node.
  await delay(6_000)
  expect([...play.clients.flatMap(({ faults }) => faults), ...play.flickers].slice(0, 10)).toEqual([])
  play.ignorePresence()

  const dying = play.nodes[1]!
  const over = play.restartNats(outageMs)
  await delay(outageMs - 1_000)
  await play.kill(dying)
  await over
  expect(await play.losses.settled()).toEqual([])
  await dying.start()

  await play.quiet()
  expect((await play.verdict()).slice(0, 20)).toEqual([])
}

/** While it lasts this comes to be so; when it is over, every client is notified of one gap or more, and all see all. */
async function outage(play: ClusterPlay, over: Promise<void>, comesToBe: () => boolean): Promise<void> {
  const before = play.clients.map(({ lossesAt }) => lossesAt.length)
  await play.until(comesToBe, SETTLED_WITHIN_MS, 'each node sees those that it can')
  await over
  await play.until(() => play.clients.every(({ lossesAt }, at) => lossesAt.length > before[at]!), SETTLED_WITHIN_MS, 'all know of the gap')
  await play.allSeeAll(SETTLED_WITHIN_MS)
}

/** Clients of the nodes on the first server of NATS. */
function near(play: ClusterPlay): readonly ClusterClient[] {
  return play.clients.filter(({ node }) => node?.name !== 'c')
}

/** Clients of the node on the second. */
function far(play: ClusterPlay): readonly ClusterClient[] {
  return play.clients.filter(({ node }) => node?.name === 'c')
}

/** Whether each of these sees these others of its topic, and nobody else. */
function isWhole(side: readonly ClusterClient[], others: readonly ClusterClient[]): boolean {
  return side.every(({ room, present }) => {
    const expected = others.filter((other) => other.room === room).map(({ id }) => `k${id}`)
    return present.join() === expected.sort().join()
  })
}
