import { reportHead, table } from '../report.ts'
import type { HostileFigures } from './main.ts'
import type { UnfinishedMemory } from './memory.ts'

/** The bound that no frame within the limits may go over. */
export const MAX_DELAY_MS = 50

export function formatHostileReport(
  head: Omit<Parameters<typeof reportHead>[0], 'conditions'>,
  postgres: string,
  figures: readonly HostileFigures[],
  memory: UnfinishedMemory,
): string {
  const conditions = [
    `One frame of each kind, on a server with PostgreSQL ${postgres} and the limits of \`tidewire start\`, one after the other in one process.`,
    `Delay: how long the server's event loop stood still at most, by its own clock, compilation, garbage collection and what the machine did besides included. It may be ${MAX_DELAY_MS} ms. The first frame of a kind that the process got stands for itself; then the middle and the worst of the rounds.`,
    "CPU in a turn: CPU time of the longest turn of the server's event loop.",
    'Heartbeat: the longest that another socket waited for an answer meanwhile, as its client saw it.',
    'JSON.parse: what the same text takes in one call, in another process that does nothing else.',
  ]
  const over = figures.filter(({ firstDelayMs, worstDelayMs }) => Math.max(firstDelayMs, worstDelayMs) > MAX_DELAY_MS)
  return [
    ...reportHead({ ...head, conditions }),
    ...hostileTable(figures),
    '',
    over.length === 0 ? `None is over ${MAX_DELAY_MS} ms.` : `Over ${MAX_DELAY_MS} ms: ${over.map(({ name }) => name).join('; ')}.`,
    unfinishedText(memory),
    '',
  ].join('\n')
}

function unfinishedText({ sockets, idleBytes, mostBytes, afterBytes }: UnfinishedMemory): string {
  const [idle, most, after] = [idleBytes, mostBytes, afterBytes].map((bytes) => `${Math.round(bytes / 1_048_576)} MiB`)
  return `Unfinished messages: ${sockets} sockets send 4.9 of 5 MB each, over again in each round, with a budget of 64 MiB for all: resident memory is ${idle} before, ${most} at most, ${after} when they are gone.`
}

export function hostileTable(figures: readonly HostileFigures[]): string[] {
  return table(
    [
      'frame',
      'bytes',
      'JSON.parse, ms',
      'delay, first, ms',
      'middle, ms',
      'worst, ms',
      'CPU in a turn, ms',
      'heartbeat, ms',
      'CPU, ms',
      'answer',
    ],
    figures.map(({ name, bytes, parseMs, firstDelayMs, delayMs, worstDelayMs, turnMs, heartbeatMs, cpuMs, answer }) => [
      name,
      bytes.toLocaleString('en-US'),
      parseMs === null ? 'no JSON' : parseMs.toFixed(1),
      ...[firstDelayMs, delayMs, worstDelayMs, turnMs, heartbeatMs, cpuMs].map((ms) => ms.toFixed(1)),
      answer.replaceAll('|', String.raw`\|`),
    ]),
  )
}
