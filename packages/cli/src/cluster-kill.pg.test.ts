/** Nodes of a cluster are killed, cut off and frozen under load. The long test does the same for longer. */
import { natsServerPath } from '@tidewire/testkit'
import { afterEach, expect, test } from 'vitest'
import { ClusterPlay } from '../test/cluster-play.ts'

let play: ClusterPlay | null = null
afterEach(async () => {
  await play?.stop()
  play = null
})

test.skipIf(natsServerPath() === undefined)(
  'a node is killed, one is cut off from NATS, one is frozen: nothing is lost in silence, and presence is the same in the end',
  async () => {
    play = await ClusterPlay.start()
    const [a, b, c] = play.nodes
    await play.join(30)
    play.load(6, 40)
    await play.strike(a!, 'kill', 500)
    await play.strike(b!, 'cut-nats', 1_500)
    await play.strike(c!, 'freeze', 6_000)
    await play.quiet()
    expect(await play.verdict()).toEqual([])
    console.log(play.summary)
  },
  60_000,
)
