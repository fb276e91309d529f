import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { expiryOfJwt, noToken, tokenTransition, type TokenEvent, type TokenOptions, type TokenState } from './token-state.ts'

const options: TokenOptions = {
  hasCallback: true,
  nowMs: 10_000,
  deadlineMs: 1000,
  expiresAtMs: (token) => (token === 'old' ? 5000 : token === 'new' ? 100_000 : null),
}
const manual: TokenOptions = { ...options, hasCallback: false }

function walk(
  events: readonly TokenEvent[],
  from: TokenState = noToken,
  with_: TokenOptions = options,
): { state: TokenState; effects: string[] } {
  let state = from
  const effects: string[] = []
  for (const event of events) {
    const step = tokenTransition(state, event, with_)
    state = step.state
    effects.push(...step.effects.map((effect) => (effect.type === 'timer' ? `timer ${effect.afterMs}` : effect.type)))
  }
  return { state, effects }
}

type Name = 'idle' | 'asking' | 'active' | 'active, asking'
type EventName = TokenEvent['type'] | 'answered (old)' | 'failed (old)'

const states: Record<Name, TokenState> = {
  idle: { value: 'new', asked: null, count: 1, active: false },
  asking: { value: 'new', asked: 1, count: 1, active: false },
  active: { value: 'new', asked: null, count: 1, active: true },
  'active, asking': { value: 'new', asked: 1, count: 1, active: true },
}

const events: Record<EventName, TokenEvent> = {
  set: { type: 'set', value: 'new' },
  refresh: { type: 'refresh' },
  need: { type: 'need' },
  answered: { type: 'answered', id: 1, value: 'new' },
  'answered (old)': { type: 'answered', id: 0, value: 'old' },
  failed: { type: 'failed', id: 1, cause: 'x' },
  'failed (old)': { type: 'failed', id: 0, cause: 'x' },
  timer: { type: 'timer' },
  activate: { type: 'activate' },
  deactivate: { type: 'deactivate' },
}

// No Partial: a state or an event without its cell does not compile. Each cell: the state, and what is done.
const table: Record<Name, Record<EventName, string>> = {
  idle: {
    set: 'idle: timer null, ready',
    refresh: 'asking: timer 1000, ask',
    need: 'asking: timer 1000, ask',
    answered: 'idle: ',
    'answered (old)': 'idle: ',
    failed: 'idle: ',
    'failed (old)': 'idle: ',
    timer: 'idle: ',
    activate: 'active: timer 60000',
    deactivate: 'idle: timer null',
  },
  asking: {
    set: 'idle: timer null, ready',
    refresh: 'asking: timer 1000, ask',
    need: 'asking: ',
    answered: 'idle: timer null, ready',
    'answered (old)': 'asking: ',
    failed: 'idle: timer null, stale, ready',
    'failed (old)': 'asking: ',
    timer: 'idle: timer null, stale, ready',
    activate: 'active, asking: ',
    deactivate: 'idle: timer null, unavailable',
  },
  active: {
    set: 'active: timer 60000, ready',
    refresh: 'active, asking: timer 1000, ask',
    need: 'active, asking: timer 1000, ask',
    answered: 'active: ',
    'answered (old)': 'active: ',
    failed: 'active: ',
    'failed (old)': 'active: ',
    timer: 'active, asking: timer 1000, ask',
    activate: 'active: ',
    deactivate: 'idle: timer null',
  },
  'active, asking': {
    set: 'active: timer 60000, ready',
    refresh: 'active, asking: timer 1000, ask',
    need: 'active, asking: ',
    answered: 'active: timer 60000, ready',
    'answered (old)': 'active, asking: ',
    failed: 'active: timer 60000, stale, ready',
    'failed (old)': 'active, asking: ',
    timer: 'active: timer 60000, stale, ready',
    activate: 'active, asking: ',
    deactivate: 'idle: timer null, unavailable',
  },
}

function nameOf({ asked, active }: TokenState): Name {
  if (asked === null) return active ? 'active' : 'idle'
  return active ? 'active, asking' : 'asking'
}

describe.each(Object.keys(states) as Name[])('%s', (from) => {
  test.each(Object.keys(events) as EventName[])('%s', (name) => {
    const { state, effects } = walk([events[name]], states[from])
    expect(`${nameOf(state)}: ${effects.join(', ')}`).toBe(table[from][name])
  })
})

test('without a callback every need is met at once', () => {
  expect(walk([{ type: 'need' }], noToken, manual).effects).toEqual(['ready'])
  expect(walk([{ type: 'refresh' }], noToken, manual).effects).toEqual(['ready'])
  const set = walk(
    [
      { type: 'set', value: 'a' },
      { type: 'set', value: 'a' },
    ],
    noToken,
    manual,
  )
  expect(set.state.value).toBe('a')
  expect(set.effects).toEqual(['timer null', 'changed', 'ready', 'timer null', 'ready'])
})

test('a token that ends now is no longer good; one of years is asked for after as long as a timer holds', () => {
  const ends = (expiresAtMs: number): TokenOptions => ({ ...options, expiresAtMs: () => expiresAtMs })
  const active = (value: string): TokenState => ({ value, asked: 1, count: 1, active: true })
  expect(walk([{ type: 'failed', id: 1, cause: 'x' }], active('a'), ends(10_000)).effects).toEqual(['timer 5000', 'unavailable'])
  expect(walk([{ type: 'failed', id: 1, cause: 'x' }], active('a'), ends(10_001)).effects).toEqual(['timer 5000', 'stale', 'ready'])
  expect(walk([{ type: 'answered', id: 1, value: 'b' }], active('a'), ends(1e13)).effects[0]).toBe('timer 2147483647')
})

test('simultaneous needs share one question; a refresh asks again and the newest answer counts', () => {
  const asked = walk([{ type: 'need' }, { type: 'need' }])
  expect(asked.effects).toEqual(['timer 1000', 'ask'])
  const again = walk([{ type: 'refresh' }, { type: 'answered', id: 1, value: 'stale' }], asked.state)
  expect(again.state).toMatchObject({ value: null, asked: 2 })
  const answered = walk([{ type: 'answered', id: 2, value: 'fresh' }], again.state)
  expect(answered.effects).toEqual(['timer null', 'changed', 'ready'])
})

test('a callback that hangs or throws ends in an error, or in the token that is known and still good', () => {
  expect(walk([{ type: 'need' }, { type: 'timer' }]).effects).toEqual(['timer 1000', 'ask', 'timer null', 'unavailable'])
  const known = (value: string): TokenState => ({ ...noToken, value })
  expect(walk([{ type: 'need' }, { type: 'failed', id: 1, cause: 'x' }], known('new')).effects).toEqual([
    'timer 1000',
    'ask',
    'timer null',
    'stale',
    'ready',
  ])
  expect(walk([{ type: 'need' }, { type: 'failed', id: 1, cause: 'x' }], known('old')).effects).toEqual([
    'timer 1000',
    'ask',
    'timer null',
    'unavailable',
  ])
})

test('is refreshed ahead of its end while in use, and only then', () => {
  const active: TokenState = { ...noToken, active: true }
  expect(walk([{ type: 'need' }, { type: 'answered', id: 1, value: 'new' }], active).effects).toContain('timer 60000')
  expect(walk([{ type: 'need' }, { type: 'answered', id: 1, value: 'old' }], active).effects).toContain('timer 5000')
  expect(walk([{ type: 'timer' }], { ...active, value: 'new' }).effects).toEqual(['timer 1000', 'ask'])
  expect(walk([{ type: 'activate' }], { ...noToken, value: 'new' }).effects).toEqual(['timer 60000'])
})

test('deactivating ends the question on its way', () => {
  expect(walk([{ type: 'need' }, { type: 'deactivate' }]).effects).toEqual(['timer 1000', 'ask', 'timer null', 'unavailable'])
})

test('random walks: every need is answered; the timer is armed while one is pending and never when idle and inactive', () => {
  const event: fc.Arbitrary<TokenEvent> = fc.oneof(
    fc.record({ type: fc.constant('set' as const), value: fc.constantFrom('old', 'new', 'x') }),
    fc.record({
      type: fc.constantFrom('refresh' as const, 'need' as const, 'activate' as const, 'timer' as const),
    }),
    fc.record({
      type: fc.constant('answered' as const),
      id: fc.nat(12),
      value: fc.constantFrom('old', 'new', null),
    }),
    fc.record({ type: fc.constant('failed' as const), id: fc.nat(12), cause: fc.constant('x') }),
    fc.constant({ type: 'deactivate' as const }),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 40 }), fc.boolean(), (events, hasCallback) => {
      let state = noToken
      let armed = false
      let waiting = false
      for (const next of events) {
        if (next.type === 'timer') {
          if (!armed) continue
          armed = false
        }
        if (next.type === 'need' || next.type === 'refresh') waiting = true
        const step = tokenTransition(state, next, { ...options, hasCallback })
        state = step.state
        for (const effect of step.effects) {
          if (effect.type === 'timer') armed = effect.afterMs !== null
          if (effect.type === 'ready' || effect.type === 'unavailable') waiting = false
        }
        if (waiting) expect(state.asked).not.toBeNull()
        if (state.asked !== null) expect(armed).toBe(true)
        else if (!state.active) expect(armed).toBe(false)
      }
    }),
    { numRuns: 3000 },
  )
})

test('reads the end of a JWT', () => {
  const jwt = (claims: string): string => `h.${btoa(claims).replace(/=/g, '').replace(/\+/g, '-').replace(/\//g, '_')}.s`
  expect(expiryOfJwt(jwt('{"exp":12}'))).toBe(12_000)
  for (const bad of ['', 'a.b.c', jwt('{}'), jwt('null'), jwt('{"exp":"1"}')]) expect(expiryOfJwt(bad)).toBeNull()
})
