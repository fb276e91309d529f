import { randomBytes } from 'node:crypto'
import { failed } from '../failure.ts'
import type { Target } from '../remote/target.ts'
import { LoadGenerator } from './load-generator.ts'
import type { LoadLoop } from './load-loop.ts'
import type { LoadPlan } from './plan.ts'
import { WsSocket } from './ws-socket.ts'

/** The result of a load test. Times in milliseconds; latency is from sending a message (or from when it was due) to one delivery of it. */
export interface LoadResult {
  readonly connectMs: number
  readonly elapsedMs: number
  readonly messages: number
  readonly deliveries: number
  readonly deliveriesPerSecond: number
  readonly latencyMs: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null; readonly max: number | null }
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
  /** The share of its core that this process used: near 1 it is itself the limit. */
  readonly clientLoad: number
}

export interface LoadTestOptions {
  readonly target: Target
  readonly plan: LoadPlan
  readonly isPrivate: boolean
  readonly stop: Promise<unknown>
  /** Called now and then; shares from 0 to 1. */
  readonly connecting: (share: number, connections: number) => void
  readonly sending: (share: number, deliveries: number) => void
}

/** A server may bound the channels of one connection. */
const TOPICS_PER_PUBLISHER = 50

/** Runs a load test. Rejects with a Failure when the server refuses a connection or channel. */
export async function loadTest({ target, plan, isPrivate, stop, connecting, sending }: LoadTestOptions): Promise<LoadResult> {
  const topicPrefix = `tidewire-bench-${randomBytes(4).toString('hex')}`
  const generator = new LoadGenerator({
    ...plan,
    timeoutMs: target.timeoutMs,
    publishers: Math.ceil(plan.topics / TOPICS_PER_PUBLISHER),
    open: (owner) => WsSocket.open({ target, topicPrefix, isPrivate, payloadBytes: plan.payloadBytes, owner }),
  })
  const { loop } = generator
  const stopped = stop.then(() => 'stopped' as const)
  try {
    const begunAt = performance.now()
    const gathered = generator.gather((sockets, all) => connecting(sockets / all, sockets))
    if ((await Promise.race([gathered, stopped])) === 'stopped') throw failed('Stopped before all were connected.')
    const startedAt = performance.now()
    void stopped.then(() => loop.stop())
    const cpu = process.cpuUsage()
    await generator.run({ ticked: (at) => sending(loop.shareAt(at), loop.deliveries) })
    const { user, system } = process.cpuUsage(cpu)
    const tookMs = performance.now() - startedAt
    return {
      connectMs: Math.round(startedAt - begunAt),
      ...resultOf(loop, loop.deliveries > 0 ? loop.lastDeliveryAt - startedAt : tookMs),
      clientLoad: Math.min(1, (user + system) / 1000 / tookMs),
    }
  } finally {
    generator.close()
  }
}

function resultOf({ messages, deliveries, latencies, faults }: LoadLoop, elapsedMs: number): Omit<LoadResult, 'connectMs' | 'clientLoad'> {
  return {
    elapsedMs: Math.round(elapsedMs),
    messages,
    deliveries,
    deliveriesPerSecond: Math.round((deliveries * 1000) / Math.max(1, elapsedMs)),
    latencyMs: { p50: latencies.within(0.5), p95: latencies.within(0.95), p99: latencies.within(0.99), max: latencies.maxMs },
    ...faults,
  }
}
