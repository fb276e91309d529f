import { allObservers, metricsObserver, type Observer } from '@tidewire/server'
import { describe, expect, test } from 'vitest'
import { countersOf, formatMetrics, mergeMetrics, parseMetrics, type Metrics } from './merge-metrics.ts'

async function worker(play: (observer: Observer) => void): Promise<Metrics> {
  const { observer, metrics } = metricsObserver({ processMetrics: true })
  play(allObservers([observer]))
  return parseMetrics(await metrics.text())
}

function valueOf(metrics: Metrics, sample: string): number | undefined {
  return metrics.get(sample.replace(/\{.*|_(bucket|sum|count)(?=\{|$).*/g, ''))?.samples.get(sample)
}

describe('the metrics of several workers', () => {
  test('are those of one server', async () => {
    const one = await worker((observer) => {
      for (const id of ['a', 'b']) observer.connected(id)
      observer.joined('a', 'realtime:room', false)
      observer.disconnected('b', 1000)
      observer.fannedOut?.(1)
      observer.feedLag?.({ bytes: 10, ms: 1 })
    })
    const other = await worker((observer) => {
      observer.connected('c')
      observer.joined('c', 'realtime:room', false)
      observer.decision({ kind: 'join-refused', code: 'unauthorized', detail: '' })
      observer.fannedOut?.(20)
      observer.feedLag?.({ bytes: 4, ms: 1 })
    })
    const merged = mergeMetrics([
      { worker: '1', metrics: one },
      { worker: '2', metrics: other },
    ])
    expect(valueOf(merged, 'phoenix_connections_total')).toBe(2)
    expect(valueOf(merged, 'tidewire_channels')).toBe(2)
    expect(valueOf(merged, 'tidewire_connections_opened_total')).toBe(3)
    expect(valueOf(merged, 'tidewire_connections_closed_total{code="1000"}')).toBe(1)
    expect(valueOf(merged, 'tidewire_decisions_total{kind="join-refused",code="unauthorized"}')).toBe(1)
    expect(valueOf(merged, 'tidewire_feed_lag_bytes')).toBe(10)
    expect(merged.get('tidewire_fan_out_seconds')!.samples.get('tidewire_fan_out_seconds_count')).toBe(2)
    expect(merged.get('tidewire_fan_out_seconds')!.samples.get('tidewire_fan_out_seconds_bucket{le="0.001"}')).toBe(1)
    const memory = [...merged.get('process_resident_memory_bytes')!.samples.keys()]
    expect(memory).toEqual(['process_resident_memory_bytes{worker="1"}', 'process_resident_memory_bytes{worker="2"}'])
  })

  test('read back as they were written', async () => {
    const metrics = await worker((observer) => observer.fannedOut?.(3))
    expect(parseMetrics(formatMetrics(metrics))).toEqual(metrics)
  })

  test('keep the counts of a worker that ended, and nothing else of it', async () => {
    const ended = await worker((observer) => {
      observer.connected('a')
      observer.fannedOut?.(1)
    })
    const running = await worker((observer) => observer.connected('b'))
    const merged = mergeMetrics([
      { worker: null, metrics: countersOf(ended) },
      { worker: '1', metrics: running },
    ])
    expect(valueOf(merged, 'tidewire_connections_opened_total')).toBe(2)
    expect(valueOf(merged, 'phoenix_connections_total')).toBe(1)
    expect(merged.get('tidewire_fan_out_seconds')!.samples.get('tidewire_fan_out_seconds_count')).toBe(1)
  })
})
