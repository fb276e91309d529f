/** What happens to NATS happens to no client. The long test does the same for longer. */
import { natsServerPath } from '@tidewire/testkit'
import { afterEach, test } from 'vitest'
import { ClusterPlay } from '../test/cluster-play.ts'
import { proveOutages } from '../test/nats-outages.ts'

let play: ClusterPlay | null = null
afterEach(async () => {
  await play?.stop()
  play = null
})

test.skipIf(natsServerPath() === undefined)(
  'NATS is parted, loses a server, and restarts: presence is not emptied, nothing is doubled, and gaps are reported where links were down',
  async () => {
    play = await ClusterPlay.start({ natsServers: 2, idleTimeoutMs: 15_000 })
    await proveOutages(play, { clients: 30, outageMs: 7_000 })
    console.log(play.summary)
  },
  120_000,
)
