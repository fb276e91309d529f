/** Three nodes are restarted one after the other under load, as an upgrade does. The long test does it with more clients. */
import { natsServerPath } from '@tidewire/testkit'
import { afterEach, expect, test } from 'vitest'
import { ClusterPlay } from '../test/cluster-play.ts'

let play: ClusterPlay | null = null
afterEach(async () => {
  await play?.stop()
  play = null
})

test.skipIf(natsServerPath() === undefined)(
  'a rolling restart loses no row change, lets no presence flicker, and loses no broadcast in silence',
  async () => {
    play = await ClusterPlay.start()
    await play.join(30)
    await play.joinStock(6)
    await play.watchPresence()
    play.load(6, 40)
    for (const node of play.nodes) {
      await play.strike(node, 'drain', 100)
      await play.allJoined(15_000)
    }
    await play.quiet()
    expect(await play.verdict()).toEqual([])
    expect(play.flickers.slice(0, 10)).toEqual([])
    // Every node had clients, and each of them came back.
    expect(play.clients.reduce((sum, { joins }) => sum + joins, 0)).toBeGreaterThanOrEqual(60)
    for (const { joins } of play.stock) expect(joins).toBeGreaterThanOrEqual(2)
    console.log(play.summary)
  },
  60_000,
)
