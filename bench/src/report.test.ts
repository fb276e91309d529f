import { expect, test } from 'vitest'
import { parseOptions } from './options.ts'
import { formatReport } from './report.ts'
import type { RunResult } from './run.ts'
import { scenarios } from './scenario.ts'
import { median, medianRange, percentile, spread } from './statistics.ts'

test('statistics', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 2, 3])).toBe(2.5)
  expect(percentile([5, 1, 4, 2, 3], 0.5)).toBe(3)
  expect(percentile([1, 2, 3], 0.99)).toBe(3)
  expect(spread([9, 10, 11])).toBeCloseTo(0.2)
  expect(spread([5])).toBe(0)
  expect(medianRange([3, 1, 2])).toEqual([1, 3])
  expect(medianRange(Array.from({ length: 100 }, (_, index) => index + 1))).toEqual([41, 60])
  expect(medianRange([])).toEqual([NaN, NaN])
})

test('options', () => {
  expect(parseOptions([])).toEqual({
    scenarios,
    postgres: null,
    client: null,
    rounds: 3,
    quick: false,
    json: null,
    all: false,
    foreign: null,
    watched: false,
    workers: false,
    page: false,
    http: false,
    hostile: false,
    joins: false,
    cluster: false,
    presence: false,
    base: null,
  })
  expect(parseOptions(['--all'])).toMatchObject({ scenarios, all: true })
  for (const other of [
    ['--postgres'],
    ['--client'],
    ['--watched'],
    ['--page'],
    ['--hostile'],
    ['--http'],
    ['--joins'],
    ['--cluster'],
    ['--scenario', 'idle'],
  ])
    expect(() => parseOptions(['--all', ...other])).toThrow(/^--all is every scenario of the servers: it takes no .*$/)
  expect(parseOptions(['--quick', '--scenario', 'idle', '--rounds', '2', '--json', 'x'])).toMatchObject({
    scenarios: [{ name: 'idle' }],
    rounds: 2,
    quick: true,
    json: 'x',
  })
  const url = ['--url', 'http://127.0.0.1:4000']
  expect(parseOptions(['--all', ...url], { BENCH_APIKEY: 'k' })).toMatchObject({
    foreign: { url: url[1], apiKey: 'k', mayElsewhere: false },
  })
  expect(parseOptions([...url, '--apikey', 'own', '--yes-i-may'], { BENCH_APIKEY: 'k' })).toMatchObject({
    foreign: { apiKey: 'own', mayElsewhere: true },
  })
  for (const other of ['--postgres', '--client', '--watched', '--page', '--hostile', '--http', '--joins', '--cluster'])
    expect(() => parseOptions([other, ...url])).toThrow(/^--url takes part in the benchmark of servers/)
  expect(() => parseOptions(['--http', '--joins'])).toThrow(/are benchmarks of their own/)
  expect(() => parseOptions(['--http', '--scenario', 'idle'])).toThrow('--http measures everything: it takes no --scenario')
  expect(() => parseOptions(['--scenario', 'nope'])).toThrow('there is no scenario "nope"')
  expect(() => parseOptions(['--rounds', '0'])).toThrow('--rounds must be')
  expect(() => parseOptions(['--fast'])).toThrow('--fast')
})

test('a table compares within each round and shows every fault', () => {
  const load = (server: string, round: number, deliveriesPerSecond: number, lost = 0): RunResult => ({
    kind: 'load',
    scenario: '1x100-8',
    server,
    round,
    deliveriesPerSecond,
    cpuMicrosPerDelivery: 1e6 / deliveriesPerSecond,
    deliveriesPerRead: 8,
    serverLoad: 1,
    generatorLoad: 0.5,
    latency: null,
    faults: { lost, duplicated: 0, reordered: 0 },
  })
  const page = formatReport({
    machine: { cpu: 'c', cores: 2, memoryGb: 1, system: 's', node: 'v20', commit: 'abc', packages: ['ws 8'] },
    date: '2026-01-01',
    command: 'npm run bench',
    conditions: [],
    scenarios: scenarios.filter(({ name }) => name === '1x100-8'),
    results: [load('ws', 0, 100), load('tidewire', 0, 1000), load('ws', 1, 50), load('tidewire', 1, 500, 3)],
  })
  expect(page).toContain('| tidewire | 750 | 67 % | 10.00 | 1500.000 | 67 % | 10.00 | 8.0 | 100 % | 50 % | 3/0/0 |')
})
