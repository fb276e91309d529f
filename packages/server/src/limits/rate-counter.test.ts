import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CallWindow, RateCounter } from './rate-counter.ts'

const STEP_MS = 5000

describe('RateCounter', () => {
  test('a new counter lets five seconds of the limit pass at once, and not one more', () => {
    const counter = new RateCounter(100, 0)
    for (let i = 1; i < 500; i++) expect(counter.add(1)).toBe(false)
    expect(counter.exceeded(1)).toBe(false)
    expect(counter.add(1)).toBe(true)
    expect(counter.exceeded(1)).toBe(true)
  })

  test('clears with the next step, since the average falls', () => {
    const counter = new RateCounter(100, 0)
    counter.add(0, 600)
    expect(counter.exceeded(STEP_MS - 1)).toBe(true)
    expect(counter.perSecond(STEP_MS - 1)).toBe(120)
    expect(counter.exceeded(STEP_MS)).toBe(false)
    expect(counter.perSecond(STEP_MS)).toBe(60)
  })

  test('after a quiet minute a burst of a minute passes; a steady rate over the limit does not', () => {
    const quiet = new RateCounter(100, 0)
    expect(quiet.add(60_000, 5999)).toBe(false)
    expect(quiet.add(60_000)).toBe(true)

    const steady = new RateCounter(100, 0)
    let reachedAt = -1
    for (let now = 0; now < 60_000 && reachedAt < 0; now += 10) if (steady.add(now, 2)) reachedAt = now
    expect(reachedAt).toBe(2490)
  })

  test('forgets after a minute, also when nothing happened for days', () => {
    const counter = new RateCounter(100, 0)
    counter.add(0, 1e6)
    expect(counter.exceeded(59_999)).toBe(true)
    expect(counter.perSecond(60_000)).toBe(0)
    expect(counter.perSecond(60_000 + 3 * 86_400_000)).toBe(0)
    expect(counter.exceeded(60_000 + 3 * 86_400_000)).toBe(false)
  })

  test('a time before the last one counts in the running step', () => {
    const counter = new RateCounter(10, 100_000)
    expect(counter.add(0, 49)).toBe(false)
    expect(counter.add(-5)).toBe(true)
  })

  test('Infinity is never reached', () => {
    expect(new RateCounter(Infinity, 0).add(0, Number.MAX_SAFE_INTEGER)).toBe(false)
  })

  test('property: agrees with an average over the steps that were seen', () => {
    const events = fc.array(fc.record({ afterMs: fc.oneof(fc.nat(500), fc.nat(30_000)), count: fc.nat(400) }), { maxLength: 80 })
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 100 }), (list, limit) => {
        const counter = new RateCounter(limit, 0)
        const steps = new Map<number, number>()
        let now = 0
        for (const { afterMs, count } of list) {
          now += afterMs
          const step = Math.floor(now / STEP_MS)
          steps.set(step, (steps.get(step) ?? 0) + count)
          const reached = counter.add(now, count)
          const seen = Math.min(12, step + 1)
          let total = 0
          for (const [at, events] of steps) if (at > step - seen) total += events
          expect(counter.perSecond(now)).toBe(total / (seen * 5))
          expect(reached).toBe(total / (seen * 5) >= limit)
        }
      }),
    )
  })
})

describe('CallWindow', () => {
  test('five calls in 30 s pass, the sixth does not; the window starts with the first call', () => {
    const calls = new CallWindow()
    for (const now of [1000, 1000, 2000, 20_000, 30_999]) expect(calls.allows(now, 5, 30_000)).toBe(true)
    expect(calls.allows(30_999, 5, 30_000)).toBe(false)
    expect(calls.allows(31_000, 5, 30_000)).toBe(true)
  })

  test('Infinity always passes', () => {
    const calls = new CallWindow()
    for (let i = 0; i < 1000; i++) expect(calls.allows(0, Infinity, 30_000)).toBe(true)
  })
})
