/** What happens to NATS happens to no client: for half a minute each. */
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
    play = await ClusterPlay.start({ natsServers: 2 })
    await proveOutages(play, { clients: Number(process.env['TIDEWIRE_CLIENTS'] ?? 300), outageMs: 30_000 })
    console.log(play.summary)
  },
  600_000,
)
