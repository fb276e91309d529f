import { decimals, NOTHING, reportHead, table, type ReportHead } from '../report.ts'
import { median } from '../statistics.ts'
import type { BesideSample } from './before.ts'
import type { ClusterSample } from './cluster.ts'
import { shapes, type ClusterFigures } from './main.ts'
import type { PaceName } from './pace.ts'

const titles: Readonly<Record<PaceName, string>> = {
  lone: '1,000 messages/s, one a turn',
  gathered: '5,000 messages/s, 16 a turn',
  full: '20,000 messages/s, 64 a turn',
  busy: '5,000 messages/s, as they come',
}

export function formatClusterReport(head: Omit<ReportHead, 'conditions'>, figures: ClusterFigures, rounds: number): string {
  const conditions = [
    `${rounds === 1 ? '1 round' : `${rounds} rounds`}, medians. One sender and one member on the first node, one member on each other, and one node more that has none; 200 B messages, 127.0.0.1.`,
    'CPU is that of a whole node by the kernel, over the messages sent, without what an unused node takes. Latency is from the socket of the sender to that of the member, by one clock.',
    'What is sent in one turn is one write of the sender. Rates are upper bounds where one burst a turn is sent: a late timer is not made up for.',
    '"bare": a process with `ws` and the client of NATS that hands frames on as they are, and nothing else. It takes turns with ours in every round.',
    'All processes share the machine; nothing is held to a core.',
  ]
  return [
    ...reportHead({ ...head, conditions }),
    ...besideBare(figures),
    '',
    ...(Object.keys(titles) as PaceName[]).flatMap((pace) => [
      `## ${titles[pace]}`,
      '',
      ...paceTable(figures.samples.filter((each) => each.pace === pace)),
      '',
    ]),
    ...besideTable(figures.beside),
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
    shapes.map(({ name, program, hasNats }) => {
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
        hasNats && program === 'tidewire' ? total(own, ({ idle }) => idle) : NOTHING,
        total(own, ({ lost }) => lost),
      ]
    }),
  )
}

/** Microseconds a message by pace; `null` where it was not measured. */
type ByPace = (pace: PaceName) => number | null

/**
 * What relaying takes at each end. At the sender it is what a node takes more on NATS than without; at a receiver it is all that
 * the node takes: it is woken, reads, and writes to its member.
 */
function besideBare({ samples, published }: ClusterFigures): string[] {
  const of = (shape: string, read: (sample: ClusterSample) => number | null): ByPace => {
    return (pace) =>
      middle(
        samples.filter((each) => each.pace === pace && each.shape === shape),
        read,
      )
  }
  const sender = (shape: string): ByPace => of(shape, ({ senderMicros }) => senderMicros)
  const receiver = (shape: string): ByPace => of(shape, ({ receiverMicros }) => receiverMicros)
  const more =
    (a: ByPace, b: ByPace): ByPace =>
    (pace) =>
      minus(a(pace), b(pace))
  const rows: readonly (readonly [string, ByPace])[] = [
    ['sender: bare client, publishing only', (pace) => median(published.filter((each) => each.pace === pace).map(({ micros }) => micros))],
    ['sender: bare client, relaying from a socket', more(sender('bare, 2 nodes'), sender('bare, no NATS'))],
    ['sender: Tidewire, relaying', more(sender('2 nodes'), sender('no NATS'))],
    ['sender: Tidewire, without another node', more(sender('1 node'), sender('no NATS'))],
    ['receiver: bare client, receiving only', of('bare, 2 nodes', ({ subscriberMicros }) => subscriberMicros)],
    ['receiver: bare client, with the delivery to a socket', receiver('bare, 2 nodes')],
    ['receiver: Tidewire, with the delivery to a socket', receiver('2 nodes')],
    ['sender: difference', more(more(sender('2 nodes'), sender('no NATS')), more(sender('bare, 2 nodes'), sender('bare, no NATS')))],
    ['receiver: difference', more(receiver('2 nodes'), receiver('bare, 2 nodes'))],
  ]
  const columns = ['', 'one a turn', '16 a turn', '64 a turn', 'as they come', 'a turn of itself', 'each message in it']
  return [
    '## CPU µs of a relayed message, beside a bare client of NATS',
    '',
    'The last two columns are of the line through 16 and 64 a turn, which come as many turns a second: what a turn takes of itself, which is mostly waking an idle process, and what each message in it adds.',
    '',
    ...table(
      columns,
      rows.map(([name, micros]) => {
        const [turn, message] = lineOf(micros)
        return [
          name,
          ...(Object.keys(titles) as PaceName[]).map((pace) => decimals(micros(pace), 1)),
          decimals(turn, 0),
          decimals(message, 1),
        ]
      }),
    ),
  ]
}

/** Microseconds a turn, and for each message in it. */
function lineOf(micros: ByPace): readonly [turn: number | null, message: number | null] {
  const [few, many] = [micros('gathered'), micros('full')]
  if (few === null || many === null) return [null, null]
  const message = (64 * many - 16 * few) / (64 - 16)
  return [16 * (few - message), message]
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
