import { describe, expect, test } from 'vitest'
import { Backlog } from './backlog.ts'

const LIMITS = { maxBytes: 1_000, maxMovingBytes: 10_000, maxPauseMs: 2_000, maxWaitMs: 10_000 }

/** A receiver that takes so many bytes a second of what it is sent; returns the millisecond at which it is refused. */
function refusedAt(sentPerSecond: number, takenPerSecond: number, first = 0, untilMs = 60_000): number | null {
  const backlog = new Backlog(LIMITS)
  let written = first
  let taken = 0
  for (let now = 0; now <= untilMs; now += 100) {
    if (!backlog.allows({ written, taken, backlog: written - taken, now })) return now
    written += sentPerSecond / 10
    taken = Math.min(written, taken + takenPerSecond / 10)
  }
  return null
}

describe('Backlog (rule C5)', () => {
  test('what may wait for a receiver that takes nothing: one below, at it, one above', () => {
    expect([999, 1_000].map((first) => refusedAt(0, 0, first))).toEqual([null, null])
    expect(refusedAt(0, 0, 1_001)).toBe(2_100)
  })

  test('what may wait for one that takes: one below, at it, one above', () => {
    expect([9_999, 10_000].map((first) => refusedAt(0, 5_000, first))).toEqual([null, null])
    expect(refusedAt(0, 5_000, 10_001)).toBe(0)
  })

  test('one frame after the other, each larger than what may wait: a receiver that reads stays', () => {
    expect(refusedAt(5_000, 5_000, 5_000)).toBeNull()
  })

  test('one that is sent more than it takes is refused when its backlog is full', () => {
    const at = refusedAt(5_000, 4_000, 0)!
    expect(at).toBeGreaterThan(9_000)
    expect(at).toBeLessThan(11_000)
  })

  test('what waits longest is too old: taking a byte now and then is not enough', () => {
    expect(refusedAt(0, 20, 2_000)).toBe(10_100)
    // 2,000 bytes at 190 a second: those over what may wait are taken in time.
    expect(refusedAt(0, 190, 2_000)).toBeNull()
  })

  test('a pause is forgotten with the backlog', () => {
    const backlog = new Backlog(LIMITS)
    const look = (written: number, taken: number, now: number): boolean => backlog.allows({ written, taken, backlog: written - taken, now })
    for (const now of [0, 1_000, 2_000]) expect(look(5_000, 0, now)).toBe(true)
    expect(look(5_000, 5_000, 2_001)).toBe(true)
    expect(look(10_000, 5_000, 60_000)).toBe(true)
    for (const now of [61_000, 62_000, 63_000]) expect(look(10_000, 5_001, now)).toBe(true)
    expect(look(10_000, 5_001, 63_001)).toBe(false)
  })

  test('the time in which this process did not run is not held against the receiver', () => {
    const backlog = new Backlog(LIMITS)
    const look = (taken: number, now: number): boolean => backlog.allows({ written: 5_000, taken, backlog: 5_000 - taken, now })
    expect(look(0, 0)).toBe(true)
    expect(look(0, 30_000)).toBe(true)
    expect(look(0, 31_000)).toBe(true)
    expect(look(0, 31_001)).toBe(false)
    expect(look(1, 31_002)).toBe(true)
    for (let now = 60_000; now < 60_000 + 7 * 30_000; now += 30_000) expect(look(now / 30_000, now)).toBe(true)
  })
})
