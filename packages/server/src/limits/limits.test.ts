import { describe, expect, test } from 'vitest'
import { defaultLimits, noLimits, resolveLimits, type Limits } from './limits.ts'

describe('resolveLimits', () => {
  test('nothing given: the defaults of the reference', () => {
    expect(resolveLimits()).toEqual({ ok: true, limits: defaultLimits })
    expect(defaultLimits).toMatchObject({ maxConnectedUsers: 200, maxEventsPerSecond: 100, maxPayloadBytes: 3_000_500 })
  })

  test('what is given wins, undefined is not given, the argument stays as it was', () => {
    const given = Object.freeze({
      maxJoinsPerSecond: 7,
      maxEventsPerSecond: Infinity,
      maxPayloadBytes: undefined,
    }) as unknown as Partial<Limits>
    expect(resolveLimits(given)).toEqual({
      ok: true,
      limits: { ...defaultLimits, maxJoinsPerSecond: 7, maxEventsPerSecond: Infinity },
    })
  })

  test('no limits: every rate is lifted, every size is kept', () => {
    expect(resolveLimits(noLimits)).toEqual({ ok: true, limits: noLimits })
    expect(noLimits.maxPayloadBytes).toBe(defaultLimits.maxPayloadBytes)
  })

  test('every fault at once', () => {
    const given = {
      maxJoinsPerSecond: 0,
      maxEventsPerSecond: -1,
      maxConnectedUsers: 1.5,
      presenceWindowMs: Infinity,
      maxPayloadBytes: '5',
      maxEventPerSecond: 3,
      maxPresenceEventsPerSecond: NaN,
      maxBodyBytes: null,
    }
    const result = resolveLimits(given as unknown as Partial<Limits>)
    expect(result).toEqual({
      ok: false,
      faults: [
        'limits.maxJoinsPerSecond: must be a whole number above 0, or Infinity',
        'limits.maxEventsPerSecond: must be a whole number above 0, or Infinity',
        'limits.maxConnectedUsers: must be a whole number above 0, or Infinity',
        'limits.presenceWindowMs: must be a whole number above 0',
        'limits.maxPayloadBytes: must be a whole number above 0',
        'limits.maxEventPerSecond: there is no such limit',
        'limits.maxPresenceEventsPerSecond: must be a whole number above 0, or Infinity',
        'limits.maxBodyBytes: must be a whole number above 0',
      ],
    })
  })
})
