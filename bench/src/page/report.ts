import { reportHead, table, type ReportHead } from '../report.ts'
import { median } from '../statistics.ts'
import { activities, type Activity, type PageRun } from './main.ts'
import type { PageMemory } from './memory.ts'

const LONGEST_FRAME_MS = 50

const TITLES: { readonly [Each in Activity]: string } = {
  follow: 'follow the newest',
  scroll: 'scroll, 10 rows a frame and a jump of 1,666 each second',
  filter: 'filter, five letters a second',
}

/** Medians of the rounds; of the longest frame the worst round too. */
export function formatPageReport(head: Omit<ReportHead, 'conditions'>, runs: readonly PageRun[], memory: PageMemory): string {
  const rounds = Math.max(...runs.map(({ round }) => round))
  const conditions = [
    `${rounds} rounds, medians. The built page in headless Chromium, 1440 × 900, on \`tidewire start\`; page, server and load share the cores.`,
    'Times are between frames: 16.7 ms is all that a screen of 60 Hz shows. The log is full (10,000 to 11,000 rows) before anything is timed.',
  ]
  const rows = activities.map((activity) => {
    const of = runs.filter((run) => run.activity === activity)
    const middle = (figure: Exclude<keyof PageRun, 'activity'>): number => median(of.map((run) => run[figure]))
    const longest = middle('maxMs')
    return [
      TITLES[activity],
      middle('rowsPerSecond').toFixed(0),
      middle('p50Ms').toFixed(1),
      middle('p95Ms').toFixed(1),
      longest.toFixed(1),
      Math.max(...of.map(({ maxMs }) => maxMs)).toFixed(1),
      // A frame is as long as the screen makes it: 50 ms is three of them, give or take the clock.
      longest < LONGEST_FRAME_MS + 1 ? 'yes' : '**no**',
      middle('longestTaskMs').toFixed(0),
      Math.max(...of.map(({ rowsDrawn }) => rowsDrawn)).toFixed(0),
      middle('heapMb').toFixed(1),
    ]
  })
  const columns = ['rows/s', 'frame p50 ms', 'p95', 'longest', 'worst round', '≤ 50 ms', 'longest task ms', 'rows drawn', 'heap MB']
  return [...reportHead({ ...head, conditions }), ...table(['what is done', ...columns], rows), '', ...memoryTable(memory), ''].join('\n')
}

function memoryTable({ messages, heapMb }: PageMemory): string[] {
  const columns = heapMb.map((_, bursts) => (bursts === 0 ? 'full log' : `after ${bursts} × ${messages.toLocaleString('en')} messages`))
  return table(['JavaScript heap after forced collection, MB', ...columns], [['the page', ...heapMb.map((value) => value.toFixed(1))]])
}
