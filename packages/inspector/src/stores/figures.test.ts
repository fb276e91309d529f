import { quantileOf, type AdminTick, type LatencySummary } from '@tidewire/protocol'
import { describe, expect, test } from 'vitest'
import { Figures } from './figures.ts'

function summary(counts: readonly number[], boundsMs: readonly number[] = [1, 2, 4]): LatencySummary {
  return { p50: 1, p95: 2, boundsMs, counts }
}

function tick(at: number, fanOut: LatencySummary | null): AdminTick {
  const zero = { connections: 1, channels: 1, receivedPerSecond: 0, deliveredPerSecond: 0 }
  const lists = { topics: [{ topic: 'a', private: false, members: 1 }], connectionsChanged: [] }
  return { at, healthy: true, trouble: null, ...zero, fanOut, insertToFrame: null, feed: null, ...lists }
}

describe('figures', () => {
  test('add histograms up, and know where a share lies', () => {
    const figures = new Figures()
    figures.add(tick(0, summary([0, 4, 0, 0])))
    figures.add(tick(500, null))
    figures.add(tick(1_000, summary([0, 0, 4, 2])))
    const histogram = figures.histogram('fanOut')!
    expect(histogram).toEqual({ boundsMs: [1, 2, 4], counts: [0, 4, 4, 2], total: 10 })
    expect([0.2, 0.4, 0.6, 1].map((share) => quantileOf(histogram, share))).toEqual([1.5, 2, 3, 4])
    expect(figures.histogram('insertToFrame')).toBeNull()
  })

  test('a time without deliveries is a hole, not a zero', () => {
    const figures = new Figures()
    figures.add(tick(500, summary([1, 0, 0, 0])))
    figures.add(tick(1_000, null))
    expect(figures.timeLine('fanOut')).toEqual({ at: [0.5, 1], p50: [1, null], p95: [2, null] })
  })

  test('the top bar forgets after ten seconds, the charts after ten minutes', () => {
    const figures = new Figures()
    expect(figures.last.value).toBeNull()
    figures.add(tick(0, summary([4, 0, 0, 0])))
    expect(figures.recentFanOut.value!.p50).toBe(0.5)
    for (let index = 1; index <= 20; index++) figures.add(tick(index * 500, null))
    expect(figures.recentFanOut.value).toBeNull()
    expect(figures.histogram('fanOut')!.total).toBe(4)
    for (let index = 0; index < 1_200; index++) figures.add(tick(index, null))
    expect(figures.histogram('fanOut')).toBeNull()
    expect(figures.timeLine('fanOut').at).toHaveLength(1_200)
  })

  test('leaves out what was measured under other bounds', () => {
    const figures = new Figures()
    figures.add(tick(0, summary([9, 9], [1])))
    figures.add(tick(1, summary([1, 0, 0, 0])))
    expect(figures.histogram('fanOut')!.counts).toEqual([1, 0, 0, 0])
  })
})
