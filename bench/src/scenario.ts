import type { Pace } from '../../packages/cli/src/load/plan.ts'

/** The load of a server. */
export interface Scenario {
  readonly name: string
  /** The head of the table. */
  readonly title: string
  readonly topics: number
  readonly subscribersPerTopic: number
  readonly publishers: number
  readonly load: Load
}

/** In a closed loop as fast as the server can, or at a rate, whatever the server does; `idle` is joined and silent. */
export type Load = Pace | { readonly kind: 'idle' }

export const MESSAGE_BYTES = 200

export const scenarios: readonly Scenario[] = [
  {
    name: '1x1000-1',
    title: '1 topic × 1000 subscribers, 1 in flight',
    topics: 1,
    subscribersPerTopic: 1000,
    publishers: 1,
    load: { kind: 'closed', inFlight: 1 },
  },
  {
    name: '1x1000-32',
    title: '1 topic × 1000 subscribers, 32 in flight',
    topics: 1,
    subscribersPerTopic: 1000,
    publishers: 1,
    load: { kind: 'closed', inFlight: 32 },
  },
  {
    name: '1x100-8',
    title: '1 topic × 100 subscribers, 8 in flight',
    topics: 1,
    subscribersPerTopic: 100,
    publishers: 1,
    load: { kind: 'closed', inFlight: 8 },
  },
  {
    name: '1000x5-1',
    title: '1000 topics × 5 subscribers, 1 in flight each',
    topics: 1000,
    subscribersPerTopic: 5,
    publishers: 50,
    load: { kind: 'closed', inFlight: 1 },
  },
  {
    name: 'latency',
    title: '1 topic × 100 subscribers at 200 messages/s (20 000 deliveries/s)',
    topics: 1,
    subscribersPerTopic: 100,
    publishers: 1,
    load: { kind: 'rate', messagesPerSecond: 200 },
  },
  {
    name: 'idle',
    title: '10 000 idle connections, joined to 1000 topics × 10',
    topics: 1000,
    subscribersPerTopic: 10,
    publishers: 0,
    load: { kind: 'idle' },
  },
]

/** A tenth of the connections, for trying things out. */
export function smaller(scenario: Scenario): Scenario {
  if (scenario.topics * scenario.subscribersPerTopic <= 100) return scenario
  const title = `${scenario.title} (a tenth)`
  if (scenario.topics === 1) return { ...scenario, subscribersPerTopic: scenario.subscribersPerTopic / 10, title }
  return { ...scenario, topics: scenario.topics / 10, publishers: Math.min(scenario.publishers, 10), title }
}
