import { expect, test } from 'vitest'
import { contestants } from './contestants.ts'
import { overview } from './overview.ts'
import type { LoadResult, RunResult } from './run.ts'
import { scenarios } from './scenario.ts'

const faultless = { lost: 0, duplicated: 0, reordered: 0 }

function load(server: string, scenario: string, round: number, figures: Partial<LoadResult>): RunResult {
  return {
    ...{ kind: 'load', scenario, server, round, deliveriesPerSecond: 1, cpuMicrosPerDelivery: 1, deliveriesPerRead: 1 },
    ...{ serverLoad: 1, generatorLoad: 1, latency: null, faults: faultless, ...figures },
  }
}

function idle(server: string, bytesPerConnection: number): RunResult {
  return { kind: 'idle', scenario: 'idle', server, round: 0, bytesPerConnection, heapBytesPerConnection: 1, connections: 10, baseBytes: 1 }
}

const chosen = scenarios.filter(({ name }) => ['1x100-8', 'latency', 'idle'].includes(name))

test('a line a scenario and server; each cell is of its own column', () => {
  const lines = overview(contestants, chosen, [
    load('ws', '1x100-8', 0, { deliveriesPerSecond: 1000, cpuMicrosPerDelivery: 8 }),
    load('tidewire', '1x100-8', 0, {
      deliveriesPerSecond: 4000,
      cpuMicrosPerDelivery: 2,
      faults: { lost: 1, duplicated: 2, reordered: 3 },
    }),
    load('ws', 'latency', 0, { deliveriesPerSecond: 20_000, cpuMicrosPerDelivery: 6, latency: { p50: 0.5, p99: 2 } }),
    load('tidewire', 'latency', 0, { deliveriesPerSecond: 20_000, cpuMicrosPerDelivery: 3, latency: { p50: 0.25, p99: 1 } }),
    idle('ws', 9_000),
    idle('tidewire', 12_345.6),
  ])
  const titles = chosen.map(({ title }) => title)
  expect(lines).toEqual([
    "| scenario | server | deliveries/s | to ws | CPU µs/delivery | ws's CPU to it | p50 / p99 ms | bytes/connection | lost/dup/reordered |",
    '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    `| ${titles[0]} | tidewire | 4,000 | 4.00 | 2.000 | 4.00 | – | – | 1/2/3 |`,
    `| ${titles[0]} | ws | 1,000 | 1.00 | 8.000 | 1.00 | – | – | 0/0/0 |`,
    `| ${titles[1]} | tidewire | 20,000 | – | 3.000 | 2.00 | 0.25 / 1.00 | – | 0/0/0 |`,
    `| ${titles[1]} | ws | 20,000 | – | 6.000 | 1.00 | 0.50 / 2.00 | – | 0/0/0 |`,
    `| ${titles[2]} | tidewire | – | – | – | – | – | 12,346 | – |`,
    `| ${titles[2]} | ws | – | – | – | – | – | 9,000 | – |`,
  ])
})

test('ratios are taken within a round, whichever server began; faults of all rounds are added', () => {
  const [, , tidewire] = overview(
    contestants,
    chosen.slice(0, 1),
    [
      [100, 1000],
      [50, 600],
      [10, 80],
    ].flatMap(([ws, ours], round) => [
      load('ws', '1x100-8', round, { deliveriesPerSecond: ws! }),
      load('tidewire', '1x100-8', round, { deliveriesPerSecond: ours!, faults: { ...faultless, lost: 1 } }),
    ]),
  )
  expect(tidewire).toBe(`| ${chosen[0]!.title} | tidewire | 600 | 10.00 | 1.000 | 1.00 | – | – | 3/0/0 |`)
})

test('of a server that runs elsewhere only what can be seen from outside has figures; a refusal is a line', () => {
  const servers = [...contestants, { name: 'foreign x' }]
  const lines = overview(servers, chosen, [
    load('ws', '1x100-8', 0, { deliveriesPerSecond: 100 }),
    load('foreign x', '1x100-8', 0, { deliveriesPerSecond: 50, cpuMicrosPerDelivery: null, serverLoad: null }),
    { kind: 'refused', scenario: 'latency', server: 'foreign x', round: 0, reason: 'no' },
  ])
  expect(lines.slice(3)).toEqual([
    `| ${chosen[0]!.title} | foreign x | 50 | 0.50 | – | – | – | – | 0/0/0 |`,
    `| ${chosen[1]!.title} | foreign x | – | – | – | – | – | – | refused, see below |`,
  ])
})

test('a server that a scenario does not know, and one without its baseline, have no line or no ratio, and no NaN', () => {
  const lines = overview(contestants, chosen, [load('tidewire', '1x100-8', 0, { deliveriesPerSecond: 5 }), idle('ws', 1)])
  expect(lines.slice(2)).toEqual([
    `| ${chosen[0]!.title} | tidewire | 5 | – | 1.000 | – | – | – | 0/0/0 |`,
    `| ${chosen[2]!.title} | ws | – | – | – | – | – | 1 | – |`,
  ])
})
