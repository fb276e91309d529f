import { expect, test } from 'vitest'
import { parseOptions } from '../options.ts'
import { figureNames, libraries, type FigureName, type Sample } from './figures.ts'
import { formatClientReport } from './report.ts'

const head = {
  machine: { cpu: 'a cpu', cores: 2, memoryGb: 8, system: 'linux', node: 'v20', commit: 'abc', packages: [] },
  date: '2026-01-01',
  command: 'npm run bench -- --client',
  conditions: [],
}

/** Both clients in one round. */
function both(figure: FigureName, round: number, ours: number, theirs: number): Sample[] {
  return [
    { figure, library: libraries[0], round, value: ours },
    { figure, library: libraries[1], round, value: theirs },
  ]
}

test('medians, ratios within a round, and what is expected', () => {
  const page = formatClientReport(head, [
    ...both('bundle', 0, 9_001, 17_000),
    // A slow round is slow for both: the ratio is 3 in each.
    ...both('receive-after-1', 0, 1, 3),
    ...both('receive-after-1', 1, 10, 30),
    ...both('receive-after-1', 2, 2, 6),
    ...both('receive-after-10000', 0, 2, 200),
    ...both('handles', 0, 0, 1),
  ])
  expect(page).toContain('| the client, minified and gzipped | 9,001 B |  | 17,000 B |  | 1.89 × | ≤ 9,000 | **no** |')
  expect(page).toContain(
    '| receive a binary frame, payload 50 B, after 1 un-acked send | 2.00 µs | 450 % | 6.00 µs | 450 % | 3.00 × | ≥ 2 × | yes |',
  )
  expect(page).toContain('| timers and sockets left after `disconnect()` | 0 |  | 1 |  |  | ≤ 0 | yes |')
  expect(page).toContain('costs ours 1.00 times')
})

test('options', () => {
  expect(parseOptions(['--client'])).toMatchObject({ client: figureNames, postgres: null, scenarios: [], rounds: 5 })
  expect(parseOptions(['--client', '--scenario', 'memory'])).toMatchObject({ client: ['memory'] })
  expect(() => parseOptions(['--client', '--postgres'])).toThrow('one after the other')
})
