import { defineCommand, type Command } from '../command.ts'
import { exitCodes, failed, misused } from '../failure.ts'
import { loadTest, type LoadResult } from '../load/load-test.ts'
import { describePlan, isThisMachine, planOf, type LoadPlan } from '../load/plan.ts'
import { print, printJson, printNotice } from '../output.ts'
import { progressBar } from '../progress-bar.ts'
import { findTarget, targetArgs } from '../remote/target.ts'
import { watchStopSignal } from '../stop-signal.ts'

const { url: _, ...keyArgs } = targetArgs

export const bench: Command = defineCommand({
  name: 'bench',
  description: 'Load a running server with broadcasts, and measure how many arrive and how fast.',
  args: {
    url: { type: 'positional', description: "The server. Default: TIDEWIRE_URL, else this project's `tidewire dev`", required: false },
    subscribers: { type: 'string', description: 'Connections that listen, up to 10000', default: '100', valueHint: 'n' },
    topics: { type: 'string', description: 'Topics that they share', default: '1', valueHint: 'n' },
    'in-flight': {
      type: 'string',
      description: 'Messages of a topic on their way at a time: as fast as it goes. Default: 8',
      valueHint: 'n',
    },
    rate: { type: 'string', description: 'Messages a second instead, whatever the server does', valueHint: 'n' },
    duration: { type: 'string', description: 'How long to send, up to 10m', default: '10s', valueHint: 'duration' },
    messages: { type: 'string', description: 'End after so many messages', valueHint: 'n' },
    size: { type: 'string', description: 'Bytes of a payload', default: '200', valueHint: 'bytes' },
    private: { type: 'boolean', description: 'Private channels' },
    ...keyArgs,
    'yes-i-may': { type: 'boolean', description: 'The server is not on this machine, and its owner agrees' },
    json: { type: 'boolean', description: 'Print the result as one JSON object' },
  },
  async run({ url, key, timeout, private: isPrivate, json, 'yes-i-may': mayElsewhere, ...values }) {
    const plan = planOf(values)
    const target = await findTarget({ url, key, timeout }, process.cwd(), process.env)
    if (!isThisMachine(target.url) && !mayElsewhere)
      throw misused(`${target.url} is not on this machine. A load test can bring a server down: say --yes-i-may if its owner agrees.`)
    if (!json) printNotice(`${target.url}: ${describePlan(plan)}.`)
    const stop = watchStopSignal()
    const result = await run(plan, { target, isPrivate, stop: stop.requested })
    stop.release()
    if (json) printJson({ plan, ...result })
    else print(summary(result))
    if (result.lost + result.duplicated + result.reordered > 0) throw failed('Messages did not come as they were sent.')
    return exitCodes.ok
  },
})

async function run(plan: LoadPlan, rest: Pick<Parameters<typeof loadTest>[0], 'target' | 'isPrivate' | 'stop'>): Promise<LoadResult> {
  const bar = (label: string): ReturnType<typeof progressBar> =>
    progressBar({ stream: process.stderr, label, now: () => performance.now() })
  const connecting = bar('Connecting')
  let sending: ReturnType<typeof progressBar> | null = null
  try {
    return await loadTest({
      plan,
      ...rest,
      connecting: (share, connections) => connecting.update(share, `${count(connections)} connections`),
      sending: (share, deliveries) => {
        connecting.end()
        sending ??= bar('Sending')
        sending.update(share, `${count(deliveries)} deliveries`)
      },
    })
  } finally {
    connecting.end()
    ;(sending as ReturnType<typeof progressBar> | null)?.end()
  }
}

/** Above this share of its core, the client is likely to be the bottleneck. */
const BUSY = 0.9

function summary({
  elapsedMs,
  messages,
  deliveries,
  deliveriesPerSecond,
  latencyMs,
  lost,
  duplicated,
  reordered,
  ...rest
}: LoadResult): string {
  const lines = [
    `deliveries   ${count(deliveriesPerSecond)}/s (${count(deliveries)} of ${count(messages)} messages in ${(elapsedMs / 1000).toFixed(1)} s)`,
    `latency      p50 ${ms(latencyMs.p50)}, p95 ${ms(latencyMs.p95)}, p99 ${ms(latencyMs.p99)}, max ${ms(latencyMs.max)}`,
    `faults       ${lost} lost, ${duplicated} duplicated, ${reordered} reordered`,
  ]
  const load = `${Math.round(rest.clientLoad * 100)} % of its core`
  return [
    ...lines,
    rest.clientLoad > BUSY
      ? `client       ${load}: it may be the limit itself, so read the first line as "at least"; \`npm run bench\` has a faster one`
      : `client       ${load}`,
  ].join('\n')
}

function count(value: number): string {
  return value.toLocaleString('en')
}

function ms(value: number | null): string {
  return value === null ? '–' : `${value < 10 ? value.toFixed(2) : Math.round(value)} ms`
}
