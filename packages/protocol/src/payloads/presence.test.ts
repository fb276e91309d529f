import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seeded } from '../../test/seeded.ts'
import { parsePresenceRequest, type PresenceRequest } from './presence.ts'

test.each<[unknown, PresenceRequest]>([
  [
    { type: 'presence', event: 'track', payload: { x: 1 } },
    { kind: 'track', payload: { x: 1 } },
  ],
  [
    { event: 'TRACK', payload: {} },
    { kind: 'track', payload: {} },
  ],
  [{ event: 'track' }, { kind: 'track', payload: {} }],
  [
    { event: 'track', payload: null },
    { kind: 'invalid', reason: 'Presence track payload must be a map' },
  ],
  [
    { event: 'track', payload: 'str' },
    { kind: 'invalid', reason: 'Presence track payload must be a map' },
  ],
  [
    { event: 'track', payload: [1] },
    { kind: 'invalid', reason: 'Presence track payload must be a map' },
  ],
  [{ event: 'untrack' }, { kind: 'untrack' }],
  [{ event: 'Untrack', payload: 'anything' }, { kind: 'untrack' }],
  [
    { event: 'bogus', payload: {} },
    { kind: 'invalid', reason: null },
  ],
  [{ event: 5 }, { kind: 'invalid', reason: null }],
  [{ event: null }, { kind: 'invalid', reason: null }],
  [{ type: 'presence' }, { kind: 'nothing' }],
  [{}, { kind: 'nothing' }],
  [null, { kind: 'nothing' }],
  ['track', { kind: 'nothing' }],
  [['track'], { kind: 'nothing' }],
])('%j', (payload, request) => {
  expect(parsePresenceRequest(payload)).toEqual(request)
})

test('any JSON value is read', () => {
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), fc.record({ event: fc.jsonValue(), payload: fc.jsonValue() })), (payload) => {
      expect(parsePresenceRequest(payload)).toHaveProperty('kind')
    }),
    seeded('presence requests', 1000),
  )
})
