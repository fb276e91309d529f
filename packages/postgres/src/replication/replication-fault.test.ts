import { expect, test } from 'vitest'
import { faultOf, isUnavailable, retryDelayMs } from './replication-fault.ts'

test.each([
  ['57P01', 'restarting'],
  ['57P02', 'restarting'],
  ['57P03', 'restarting'],
  ['55006', 'slot-held'],
  ['42704', 'publication-changed'],
  ['08006', 'unreachable'],
  ['28P01', 'refused'],
  ['42501', 'refused'],
  ['55000', 'refused'],
  ['ECONNREFUSED', 'unreachable'],
  ['EPIPE', 'unreachable'],
  ['ENOTFOUND', 'unreachable'],
] as const)('%s is %s', (code, kind) => expect(faultOf({ code, message: 'why' })).toMatchObject({ kind, message: 'why' }))

test.each(['53300', '53400'])('%s says what is used up and how to get more', (code) => {
  const fault = faultOf({ code, message: 'all replication slots are in use' })
  expect(fault).toMatchObject({
    kind: 'exhausted',
    message: expect.stringMatching(/^all replication slots are in use\..*raise max_replication_slots/),
  })
  expect([1, 2, 9].map((attempt) => retryDelayMs(fault, attempt, 0.5))).toEqual([500, 1_000, 5_000])
})

test('an error without code or words is still a reason', () => {
  expect(faultOf({})).toEqual({ kind: 'unreachable', message: 'the connection was lost' })
  expect(faultOf({ code: '42501', message: '' })).toEqual({ kind: 'refused', code: '42501', message: '42501' })
})

test('delays grow to a limit and are spread by jitter', () => {
  const fault = faultOf({})
  expect([1, 2, 3, 10, 1_000_000].map((attempt) => retryDelayMs(fault, attempt, 0.5))).toEqual([100, 200, 400, 5_000, 5_000])
  expect(retryDelayMs(fault, 1, 0)).toBe(75)
  expect(retryDelayMs(fault, 1, 1)).toBe(125)
  // What another server prepares is asked for at an even pace, so that all connect soon after it is there.
  expect(retryDelayMs({ kind: 'slot-held', message: '' }, 50, 0.5)).toBe(1_000)
})

test.each([
  [{ code: 'ECONNREFUSED' }, true],
  [{ code: 'EAI_AGAIN' }, true],
  [{ code: '57P03', message: 'the database system is starting up' }, true],
  [{ code: '53300' }, true],
  [{ message: 'Connection terminated unexpectedly' }, true],
  [{ message: 'timeout expired' }, true],
  [{ code: '28P01', message: 'password authentication failed' }, false],
  [{ code: '3D000' }, false],
  [{ message: 'SASL: client password must be a string' }, false],
])('%j is a database that may come back: %s', (error, expected) => {
  expect(isUnavailable(error)).toBe(expected)
})
