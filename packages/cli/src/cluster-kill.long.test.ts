/** Thirty faults in a row under load: kill -9, a drain, cut ways to NATS and Postgres, frozen processes, a NATS that restarts. */
import { setTimeout as delay } from 'node:timers/promises'
import { natsServerPath } from '@tidewire/testkit'
import { afterEach, expect, test } from 'vitest'
import { ClusterPlay, type Fault } from '../test/cluster-play.ts'
import { randomFrom } from '../test/random.ts'

const EVENTS = Number(process.env['TIDEWIRE_KILLS'] ?? 30)
const CLIENTS = Number(process.env['TIDEWIRE_CLIENTS'] ?? 1_000)
/** Which node each fault strikes, and for how long. What the machine does meanwhile is not repeated. */
const SEED = Number(process.env['TIDEWIRE_SEED'] ?? Math.trunc(Math.random() * 2 ** 31))
const FAULTS: readonly Fault[] = ['kill', 'cut-nats', 'cut-postgres', 'freeze', 'drain']

let play: ClusterPlay | null = null
afterEach(async () => {
  await play?.stop()
  play = null
})

test.skipIf(natsServerPath() === undefined)(`${CLIENTS} clients on three nodes, ${EVENTS} faults`, async () => {
  console.log(`TIDEWIRE_SEED=${SEED} TIDEWIRE_CLIENTS=${CLIENTS} TIDEWIRE_KILLS=${EVENTS}`)
  const random = randomFrom(SEED)
  play = await ClusterPlay.start()
  await play.join(CLIENTS)
  play.load(10, 100)
  for (let event = 0; event < EVENTS; event++) {
    const node = play.nodes[Math.floor(random() * play.nodes.length)]!
    const fault = FAULTS[event % FAULTS.length]!
    const ms = fault === 'freeze' ? 20_000 : 1_000 + random() * (fault.startsWith('cut') ? 19_000 : 2_000)
    console.log(`${event + 1}: ${fault} ${node.name} ${Math.round(ms)} ms`)
    await play.strike(node, fault, ms)
    await delay(3_000)
  }
  await play.restartNats(5_000)
  await delay(10_000)
  await play.quiet()
  const faults = await play.verdict()
  console.log(play.summary)
  expect(faults.slice(0, 20)).toEqual([])
})
