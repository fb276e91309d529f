/** A server without NATS beside the same server at an earlier commit, which takes part twice: what lies between its two runs is noise. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { chooseCores } from '../machine.ts'
import { runOnce } from '../run.ts'
import { scenarios } from '../scenario.ts'

export interface BesideSample {
  readonly server: 'before' | 'before, again' | 'now'
  readonly scenario: string
  readonly round: number
  readonly cpuMicrosPerDelivery: number
}

const SCENARIOS = ['1x100-8']

export async function besideBefore(folder: string, round: number, quick: boolean): Promise<BesideSample[]> {
  const before = pathToFileURL(resolve(folder, 'bench/src/servers/tidewire.ts')).href
  const contestants = [
    { server: 'before', file: before },
    { server: 'now', file: './servers/tidewire.ts' },
    { server: 'before, again', file: before },
  ] as const
  const times = quick ? { warmUpMs: 200, measureMs: 500 } : { warmUpMs: 1_000, measureMs: 3_000 }
  const samples: BesideSample[] = []
  for (const scenario of scenarios.filter(({ name }) => SCENARIOS.includes(name)))
    for (let turn = 0; turn < contestants.length; turn++) {
      const { server, file } = contestants[(turn + round) % contestants.length]!
      const result = await runOnce({ name: server, file, dialect: 'phoenix' }, scenario, round, { ...chooseCores(), ...times })
      if (result.kind !== 'load') throw new Error(`${server} did not take the load`)
      const { cpuMicrosPerDelivery } = result
      samples.push({ server, scenario: scenario.name, round, cpuMicrosPerDelivery: cpuMicrosPerDelivery ?? NaN })
      console.error(`${scenario.name} ${server}: ${cpuMicrosPerDelivery?.toFixed(3)} µs a delivery`)
    }
  return samples
}
