/** Three nodes are restarted one after the other, three times, with a thousand clients. */
import { natsServerPath } from '@tidewire/testkit'
import { afterEach, expect, test } from 'vitest'
import { ClusterPlay } from '../test/cluster-play.ts'

const CLIENTS = Number(process.env['TIDEWIRE_CLIENTS'] ?? 1_000)
const ROUNDS = 3
/** Each holds three sockets' worth of code in this process. */
const STOCK_CLIENTS = Math.min(20, CLIENTS)

let play: ClusterPlay | null = null
afterEach(async () => {
  await play?.stop()
  play = null
})

test.skipIf(natsServerPath() === undefined)(`rolling restarts with ${CLIENTS} clients`, async () => {
  play = await ClusterPlay.start()
  await play.join(CLIENTS)
  await play.joinStock(STOCK_CLIENTS)
  await play.watchPresence()
  play.load(10, 100)
  for (let restart = 0; restart < ROUNDS * play.nodes.length; restart++) {
    await play.strike(play.nodes[restart % play.nodes.length]!, 'drain', 1_000)
    await play.allJoined(30_000)
  }
  await play.quiet()
  const faults = await play.verdict()
  console.log(`${play.summary}\n${faults.length} faults, ${play.flickers.length} flickers`)
  expect(faults.slice(0, 20)).toEqual([])
  expect(play.flickers.slice(0, 10)).toEqual([])
  // Every node had clients, and each of them came back.
  expect(play.clients.reduce((sum, { joins }) => sum + joins, 0)).toBeGreaterThanOrEqual(CLIENTS * ROUNDS)
})
