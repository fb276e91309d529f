import { reportHead, table, type ReportHead } from '../report.ts'
import { median, spread } from '../statistics.ts'
import { EARLIER_SENDS, figures, libraries, type Figure, type Sample } from './figures.ts'

/** Ours may cost this much more after many sends than after one, for what a clock and a collector add. */
const FLAT = 1.5

/** The figures as a page: medians of the rounds, each with what is expected of it. */
export function formatClientReport(head: ReportHead, samples: readonly Sample[]): string {
  const measured = figures.filter(({ name }) => samples.some(({ figure }) => figure === name))
  const rows = measured.map((figure) =>
    rowOf(
      figure,
      samples.filter((sample) => sample.figure === figure.name),
    ),
  )
  const [ours, theirs] = libraries
  return [
    ...reportHead(head),
    ...table(['figure', ours, 'spread', theirs, 'spread', 'theirs to ours', 'expected', 'met'], rows),
    '',
    ...flatness(samples),
  ].join('\n')
}

function rowOf({ title, unit, digits, expected }: Figure, samples: readonly Sample[]): string[] {
  const [ours, theirs] = libraries.map((library) => samples.filter((sample) => sample.library === library)) as [Sample[], Sample[]]
  const valuesOf = (all: readonly Sample[]): number[] => all.map(({ value }) => value)
  const shown = (all: readonly Sample[]): string =>
    `${median(valuesOf(all)).toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })}${unit === '' ? '' : ` ${unit}`}`
  const spreadOf = (all: readonly Sample[]): string =>
    all.length < 2 || median(valuesOf(all)) === 0 ? '' : `${Math.round(spread(valuesOf(all)) * 100)} %`
  // Within each round: what disturbed a round disturbed both.
  const ratio = median(
    ours.flatMap(({ round, value }) => theirs.filter((other) => other.round === round).map((other) => other.value / value)),
  )
  return [
    title,
    shown(ours),
    spreadOf(ours),
    shown(theirs),
    spreadOf(theirs),
    Number.isFinite(ratio) ? `${ratio.toFixed(ratio < 20 ? 2 : 0)} ×` : '',
    ...verdict(expected, median(valuesOf(ours)), ratio),
  ]
}

function verdict(expected: Figure['expected'], value: number, ratio: number): [string, string] {
  if (expected === null) return ['', '']
  if ('atMost' in expected) return [`≤ ${expected.atMost.toLocaleString('en')}`, yes(value <= expected.atMost)]
  return [`≥ ${Math.round(1 / expected.share)} ×`, yes(ratio >= 1 / expected.share)]
}

function flatness(samples: readonly Sample[]): string[] {
  const [few, many] = [EARLIER_SENDS[0], EARLIER_SENDS.at(-1)!].map((sends) =>
    median(
      samples.flatMap(({ figure, library, value }) => (library === libraries[0] && figure === `receive-after-${sends}` ? [value] : [])),
    ),
  ) as [number, number]
  if (Number.isNaN(few) || Number.isNaN(many)) return []
  const growth = many / few
  return [
    `After ${EARLIER_SENDS.at(-1)!.toLocaleString('en')} sends a message costs ours ${growth.toFixed(2)} times what it costs after one (expected: flat, below ${FLAT}: ${yes(growth < FLAT)}).`,
    '',
  ]
}

function yes(met: boolean): string {
  return met ? 'yes' : '**no**'
}
