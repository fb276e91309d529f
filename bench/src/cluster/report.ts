import { decimals, NOTHING, reportHead, table, type ReportHead } from '../report.ts'
import { median } from '../statistics.ts'
import type { BesideSample } from './before.ts'
import { shapes, type ClusterFigures, type ClusterSample, type PaceName } from './main.ts'

const titles: Readonly<Record<PaceName, string>> = {
  lone: '1,000 messages/s, one at a time',
  gathered: '5,000 messages/s, 16 at a time',
  busy: '5,000 messages/s, as they come',
}

export function formatClusterReport(head: Omit<ReportHead, 'conditions'>, { samples, beside }: ClusterFigures, rounds: number): string {
  const conditions = [
    `${rounds === 1 ? '1 round' : `${rounds} rounds`}, medians. One sender and one member on the first node, one member on each other, and one node more that has none; 200 B messages, 127.0.0.1.`,
    'CPU is that of a whole node by the kernel, over the messages sent, without what an unused node takes. Latency is from the socket of the sender to that of the member, by one clock.',
    'All processes share the machine; nothing is held to a core.',
  ]
  return [
    ...reportHead({ ...head, conditions }),
    ...(Object.keys(titles) as PaceName[]).flatMap((pace) => [
      `## ${titles[pace]}`,
      '',
      ...paceTable(samples.filter((each) => each.pace === pace)),
      '',
    ]),
    ...relayed(samples),
    '',
    ...besideTable(beside),
    '',
  ].join('\n')
}

function paceTable(samples: readonly ClusterSample[]): string[] {
  const head = [
    ...['', 'CPU µs at the sender', 'at a receiver', 'here p50 ms', 'p99', 'there p50 ms', 'p99', 'extra p50', 'extra p99'],
    ...['to a node without members', 'lost'],
  ]
  return table(
    head,
    shapes.map(({ name, hasNats }) => {
      const own = samples.filter(({ shape }) => shape === name)
      const of = (read: (sample: ClusterSample) => number | null, digits: number): string => decimals(middle(own, read), digits)
      const extra = (at: 0 | 1): string => of(({ hereMs, thereMs }) => (thereMs === null ? null : thereMs[at] - hereMs[at]), 2)
      return [
        name,
        of(({ senderMicros }) => senderMicros, 1),
        of(({ receiverMicros }) => receiverMicros, 1),
        of(({ hereMs }) => hereMs[0], 2),
        of(({ hereMs }) => hereMs[1], 2),
        of(({ thereMs }) => thereMs?.[0] ?? null, 2),
        of(({ thereMs }) => thereMs?.[1] ?? null, 2),
        extra(0),
        extra(1),
        hasNats ? total(own, ({ idle }) => idle) : NOTHING,
        total(own, ({ lost }) => lost),
      ]
    }),
  )
}

/** A delivery is a third of what a server without NATS takes for three members more; the rest of what a node takes is the relay's. */
function relayed(samples: readonly ClusterSample[]): string[] {
  const rows = (['lone', 'gathered'] as const).map((pace) => {
    const senderAt = (shape: string): number | null =>
      middle(
        samples.filter((each) => each.pace === pace && each.shape === shape),
        ({ senderMicros }) => senderMicros,
      )
    const receiverAt = (shape: string): number | null =>
      middle(
        samples.filter((each) => each.pace === pace && each.shape === shape),
        ({ receiverMicros }) => receiverMicros,
      )
    const alone = senderAt('no NATS')
    const more = minus(senderAt('no NATS, three members more'), alone)
    const delivery = more === null ? null : more / 3
    return [
      titles[pace],
      decimals(delivery, 1),
      ...['1 node', '2 nodes', '3 nodes'].map((shape) => decimals(minus(senderAt(shape), alone), 1)),
      ...['2 nodes', '3 nodes'].map((shape) => decimals(minus(receiverAt(shape), delivery), 1)),
    ]
  })
  const columns = ['µs a delivery', 'relayed at the sender, 1 node', '2 nodes', '3 nodes', 'at a receiver, 2 nodes', '3 nodes']
  return ['## CPU µs of the relay for a message', '', ...table(['', ...columns], rows)]
}

function besideTable(samples: readonly BesideSample[]): string[] {
  if (samples.length === 0) return ['Nothing was set beside it: `--base FOLDER` names this repository at an earlier commit, built.']
  const ratios = (server: BesideSample['server']): number[] =>
    samples
      .filter((sample) => sample.server === server)
      .flatMap(({ scenario, round, cpuMicrosPerDelivery }) =>
        samples
          .filter((other) => other.server === 'before' && other.scenario === scenario && other.round === round)
          .map((other) => cpuMicrosPerDelivery / other.cpuMicrosPerDelivery),
      )
  const row = (server: BesideSample['server']): string[] => {
    const own = samples.filter((sample) => sample.server === server).map(({ cpuMicrosPerDelivery }) => cpuMicrosPerDelivery)
    const to = ratios(server)
    return [server, median(own).toFixed(3), median(to).toFixed(3), `${Math.min(...to).toFixed(3)}–${Math.max(...to).toFixed(3)}`]
  }
  return [
    '## A server without NATS, beside the same at an earlier commit',
    '',
    ...table(
      ['1x100-8', 'CPU µs/delivery', 'to before, of the same round', 'from–to'],
      (['before', 'before, again', 'now'] as const).map((server) => row(server)),
    ),
  ]
}

function middle(samples: readonly ClusterSample[], read: (sample: ClusterSample) => number | null): number | null {
  const values = samples.map(read).filter((value) => value !== null)
  return values.length === 0 ? null : median(values)
}

function total(samples: readonly ClusterSample[], read: (sample: ClusterSample) => number): string {
  return String(samples.reduce((sum, sample) => sum + read(sample), 0))
}

function minus(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a - b
}
