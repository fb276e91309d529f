import { useSignal } from '@preact/signals'
import { quantileOf } from '@tidewire/protocol'
import type { VNode } from 'preact'
import UPlot from 'uplot'
import type { Inspector } from '../../inspector.ts'
import { count, milliseconds } from '../../stores/format.ts'
import type { Histogram, Measure } from '../../stores/figures.ts'
import { Chart } from './chart.tsx'

const MEASURES: readonly (readonly [Measure, string, string])[] = [
  ['fanOut', 'Fan-out', 'from a message’s arrival to the last write to a subscriber'],
  ['insertToFrame', 'Insert → frame', 'from the commit to the write to a subscriber'],
]

/** The server's latencies: over time, and their distribution. */
export function Latency({ inspector }: { readonly inspector: Inspector }): VNode {
  const measure = useSignal<Measure>('fanOut')
  // Read for its change: the figures below are computed from all ticks.
  void inspector.figures.last.value
  const histogram = inspector.figures.histogram(measure.value)
  const { at, p50, p95 } = inspector.figures.timeLine(measure.value)
  const meaning = MEASURES.find(([name]) => name === measure.value)![2]
  return (
    <>
      <div class="switch" role="group" aria-label="What is measured">
        {MEASURES.map(([name, label]) => (
          <button key={name} aria-pressed={measure.value === name} onClick={() => (measure.value = name)}>
            {label}
          </button>
        ))}
      </div>
      <p class="quiet">Milliseconds {meaning}, over the last ten minutes.</p>
      {histogram === null ? (
        <p class="empty">Nothing was measured yet.</p>
      ) : (
        <div key={measure.value}>
          <h2>
            Over time
            <span class="legend">
              <i class="p50" /> p50 <i class="p95" /> p95
            </span>
          </h2>
          <Chart label="p50 and p95 over time" height={150} data={[at, p50, p95]} options={timeOptions} />
          <h2>Spread</h2>
          <Spread histogram={histogram} />
        </div>
      )}
    </>
  )
}

function Spread({ histogram }: { readonly histogram: Histogram }): VNode {
  const first = histogram.counts.findIndex((value) => value > 0)
  const last = histogram.counts.findLastIndex((value) => value > 0)
  const from = Math.max(0, first - 1)
  const shown = histogram.counts.slice(from, last + 2)
  const labels = shown.map((_, index) => boundLabel(histogram, from + index))
  return (
    <>
      <Chart
        key={labels.join()}
        label="How many took how long"
        height={150}
        data={[shown.map((_, index) => index), [...shown]]}
        options={(color) => spreadOptions(color, labels)}
      />
      <dl class="facts row">
        {([0.5, 0.95, 0.99] as const).map((share) => (
          <div key={share}>
            <dt>p{share * 100}</dt>
            <dd class="mono">{milliseconds(quantileOf(histogram, share))}</dd>
          </div>
        ))}
        <div>
          <dt>measured</dt>
          <dd class="mono">{count(histogram.total)}</dd>
        </div>
      </dl>
    </>
  )
}

function boundLabel({ boundsMs }: Histogram, index: number): string {
  const bound = boundsMs[index]
  const text = (value: number): string => String(Number(value.toPrecision(3)))
  return bound === undefined ? `>${text(boundsMs.at(-1) ?? 0)}` : `≤${text(bound)}`
}

function axis(color: (name: string) => string): UPlot.Axis {
  return {
    stroke: color('quiet'),
    font: '11px ui-monospace, monospace',
    grid: { stroke: color('line'), width: 1 },
    ticks: { show: false },
    gap: 4,
  }
}

function timeOptions(color: (name: string) => string): Omit<UPlot.Options, 'width' | 'height'> {
  const line = (name: string, label: string): UPlot.Series => ({
    label,
    stroke: color(name),
    width: 1.5,
    points: { show: false },
    spanGaps: true,
  })
  return {
    padding: [8, 26, 0, 0],
    cursor: { y: false },
    legend: { show: false },
    // A minute at least, so that the first ticks do not fill the width.
    scales: { x: { range: (_, min, max) => [Math.min(min, max - 60), max] }, y: { range: (_, __, max) => [0, Math.max(max * 1.15, 0.1)] } },
    axes: [
      { ...axis(color), size: 22, space: 70, values: [[1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1]] },
      { ...axis(color), size: 46, space: 30 },
    ],
    series: [{}, line('p50', 'p50'), line('p95', 'p95')],
  }
}

function spreadOptions(color: (name: string) => string, labels: readonly string[]): Omit<UPlot.Options, 'width' | 'height'> {
  const paths = UPlot.paths.bars!({ size: [0.82, 60], align: 0 })
  return {
    padding: [8, 8, 0, 0],
    cursor: { show: false },
    legend: { show: false },
    scales: {
      x: { time: false, range: (_, min, max) => [min - 0.6, max + 0.6] },
      y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] },
    },
    axes: [
      {
        ...axis(color),
        grid: { show: false },
        size: 22,
        splits: () => labels.map((_, index) => index).filter((index) => index % Math.ceil(labels.length / 7) === 0),
        values: (_, splits) => splits.map((index) => labels[index] ?? ''),
      },
      { ...axis(color), size: 46, space: 30, values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? count(value) : '')) },
    ],
    series: [{}, { stroke: color('p50'), fill: color('bar'), width: 0, paths, points: { show: false } }],
  }
}
