import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Authorization } from '../ports.ts'
import { channelTransition, initialChannel, type ChannelEffect, type ChannelState } from './channel-state.ts'
import {
  first,
  second,
  all,
  allowed,
  isPrivate,
  joined,
  STATES,
  EVENTS,
  TABLE,
  REFUSED,
  stateNames,
  eventNames,
  type EventName,
} from '../../test/channel-table.ts'

function shown(step: { readonly state: ChannelState; readonly effects: readonly ChannelEffect[] }): string {
  return step.state.kind + (step.effects.length > 0 ? `: ${step.effects.map(({ type }) => type).join(', ')}` : '')
}

describe('a private channel', () => {
  test.each(stateNames.flatMap((state) => eventNames.map((event) => [state, event] as const)))('%s + %s', (state, event) => {
    const before = STATES[state]
    const step = channelTransition(before, EVENTS[event], isPrivate)
    expect(shown(step)).toBe(TABLE[state][event] === 'stays' ? before.kind : TABLE[state][event])
    if (TABLE[state][event] === 'stays') expect(step.state).toBe(before)
  })

  test('without presence, reading presence alone is not enough to join', () => {
    const onlyPresence: Authorization = { ok: true, broadcast: false, presence: true }
    const event = { type: 'read-decided', admission: first, authorization: onlyPresence } as const
    expect(shown(channelTransition(STATES['authorizing'], event, isPrivate))).toBe('joined: join-at, enter, resume')
    expect(shown(channelTransition(STATES['authorizing'], event, { ...isPrivate, presenceEnabled: false }))).toBe(REFUSED)
    expect(shown(channelTransition(STATES['authorizing'], event, { ...isPrivate, wantsReplay: true }))).toBe(REFUSED)
  })

  test('a join that cannot be decided is refused with the reason, one that is denied with another', () => {
    const refusal = (event: EventName): unknown => channelTransition(STATES.authorizing, EVENTS[event], isPrivate).effects[1]
    expect(refusal('read-decided, unknown')).toEqual({
      type: 'refuse-join',
      code: 'authorization-unavailable',
      reason: 'UnableToConnectToProject: the database is down',
    })
    expect(refusal('read-decided, denied')).toEqual({
      type: 'refuse-join',
      code: 'unauthorized',
      reason: 'Unauthorized: You do not have permissions to read from this Channel topic: room',
    })
  })

  test('what may be sent is asked again under a new token', () => {
    const { state, effects } = channelTransition(STATES['joined, asking and renewing'], EVENTS['read-decided'], isPrivate)
    expect(state).toMatchObject({ writes: 'asking', renewing: null, admission: second })
    expect(effects).toContainEqual({ type: 'ask-write', admission: second })
    const known: ChannelState = { ...joined, writes: all, renewing: 'second' }
    expect(channelTransition(known, EVENTS['read-decided'], isPrivate).state).toMatchObject({ writes: null })
  })

  test('a policy that failed is named in the log, and to the client where that is wanted', () => {
    const detail = 'the policy "p" on realtime.messages failed: division by zero'
    const failed: Authorization = { ok: true, broadcast: false, presence: false, detail, failed: true }
    const text = 'Unauthorized: You do not have permissions to read from this Channel topic: room'
    const refusal = (authorization: Authorization, showsFailedPolicies: boolean): ChannelEffect | undefined =>
      channelTransition(
        STATES['authorizing'],
        { type: 'read-decided', admission: first, authorization },
        { ...isPrivate, showsFailedPolicies },
      ).effects[1]
    const logged = { type: 'refuse-join', code: 'unauthorized', reason: text, detail: `${text} (${detail})` }
    expect(refusal(failed, false)).toEqual(logged)
    expect(refusal(failed, true)).toEqual({ type: 'refuse-join', code: 'unauthorized', reason: `${text} (${detail})` })
    // Which policies there are is no business of a client, on no machine.
    expect(refusal({ ...failed, failed: false }, true)).toEqual(logged)
  })

  test('a decision about an older token changes nothing', () => {
    const event = { type: 'write-decided', admission: second, authorization: allowed } as const
    expect(shown(channelTransition(STATES['joined, asking'], event, isPrivate))).toBe('joined')
  })

  test('a stream that was readable and no longer is ends the channel', () => {
    const event = { type: 'read-decided', admission: second, authorization: { ok: true, broadcast: true, presence: false } } as const
    const step = channelTransition(STATES['joined, renewing'], event, isPrivate)
    expect(step.effects).toContainEqual({
      type: 'system-error',
      code: 'unauthorized',
      message: 'You no longer have permission to read from this Channel topic: room',
    })
  })
})

describe('a public channel', () => {
  const rules = { ...isPrivate, private: false }

  test('is in as soon as its token is good, and asks no policy', () => {
    expect(shown(channelTransition(initialChannel, EVENTS['admitted'], rules))).toBe('joined: enter, resume')
    const step = channelTransition(joined, EVENTS['first-push'], rules)
    expect(step).toEqual({ state: { ...joined, writes: all }, effects: [] })
    expect(shown(channelTransition(STATES['joined, renewing'], EVENTS['admitted, other token'], rules))).toBe('joined: change-identity')
  })

  test('has nothing to replay', () => {
    expect(shown(channelTransition(initialChannel, EVENTS['admitted'], { ...rules, wantsReplay: true }))).toBe(REFUSED)
  })
})

test('a join that waits for its changes is answered when they are live', () => {
  const waits = { ...isPrivate, waitsForChanges: true }
  for (const state of ['authorizing', 'replaying'] as const)
    for (const event of ['read-decided', 'replay-loaded'] as const) {
      const { state: next } = channelTransition(STATES[state], EVENTS[event], waits)
      if (next !== STATES[state]) expect(next.kind).toBe('subscribing')
    }
  expect(shown(channelTransition(initialChannel, EVENTS['admitted'], { ...waits, private: false }))).toBe('subscribing: open-changes')
})

test('a join on one of many nodes waits until the messages of the others come', () => {
  const many = { ...isPrivate, isClustered: true }
  const { state } = channelTransition(STATES.authorizing, EVENTS['read-decided'], many)
  expect(state).toMatchObject({ kind: 'attaching', reads: all })
  expect(shown(channelTransition(STATES.attaching, EVENTS.attached, { ...many, wantsReplay: true }))).toBe('replaying: load-replay')
  expect(shown(channelTransition(STATES.attaching, EVENTS.attached, { ...many, waitsForChanges: true }))).toBe('subscribing: open-changes')
  expect(shown(channelTransition(initialChannel, EVENTS.admitted, { ...many, private: false }))).toBe('attaching: attach')
})

test('random walks: a join is answered once, an entered channel is exited once, and a closed one is silent', () => {
  const rules = fc.record({
    private: fc.boolean(),
    presenceEnabled: fc.boolean(),
    wantsReplay: fc.boolean(),
    isClustered: fc.boolean(),
    waitsForChanges: fc.boolean(),
    subTopic: fc.constant('room'),
    showsFailedPolicies: fc.boolean(),
  })
  fc.assert(
    fc.property(rules, fc.array(fc.constantFrom(...Object.values(EVENTS)), { maxLength: 60 }), (walkRules, events) => {
      let state = initialChannel
      const count: Record<string, number> = {}
      for (const event of events) {
        const before = state
        const step = channelTransition(state, event, walkRules)
        state = step.state
        if (before.kind === 'closed') expect(step.effects).toEqual([])
        for (const { type } of step.effects) count[type] = (count[type] ?? 0) + 1
      }
      const entered = count['enter'] ?? 0
      const refused = count['refuse-join'] ?? 0
      expect(entered + refused).toBeLessThanOrEqual(1)
      expect(count['exit'] ?? 0).toBeLessThanOrEqual(1)
      if (entered === 1 && state.kind === 'closed') expect(count['exit']).toBe(1)
      expect(count['forget'] ?? 0).toBeLessThanOrEqual(1)
    }),
    { numRuns: 2_000 },
  )
})
