import fc from 'fast-check'
import { expect, test } from 'vitest'
import { connectionTransition, initialConnection, type ConnectionEvent, type ConnectionState } from './connection-state.ts'

const options = { maxQuietSweeps: 3, maxCongestedSweeps: 2, maxClosingSweeps: 2 }

type StateName = ConnectionState['kind'] | 'open, nearly quiet' | 'open, nearly congested' | 'closing, late'
type EventName = ConnectionEvent['type'] | 'sweep, quiet' | 'sweep, congested'

const STATES: Record<StateName, ConnectionState> = {
  open: initialConnection,
  'open, nearly quiet': { kind: 'open', quietSweeps: 2, congestedSweeps: 0 },
  'open, nearly congested': { kind: 'open', quietSweeps: 0, congestedSweeps: 1 },
  closing: { kind: 'closing', sweeps: 0 },
  'closing, late': { kind: 'closing', sweeps: 1 },
  closed: { kind: 'closed' },
}

const EVENTS: Record<EventName, ConnectionEvent> = {
  sweep: { type: 'sweep', heard: true, moved: true },
  'sweep, quiet': { type: 'sweep', heard: false, moved: true },
  'sweep, congested': { type: 'sweep', heard: true, moved: false },
  overflow: { type: 'overflow' },
  close: { type: 'close', code: 1001, reason: 'why' },
  abort: { type: 'abort', code: 1008, reason: 'why' },
  'transport-closed': { type: 'transport-closed' },
}

/** What each state makes of each event: the state after it, and what is done. */
const TABLE: Record<StateName, Record<EventName, string>> = {
  open: {
    sweep: 'open',
    'sweep, quiet': 'open',
    'sweep, congested': 'open',
    overflow: 'closing: leave-all, close 1013',
    close: 'closing: leave-all, close 1001',
    abort: 'closed: leave-all, close 1008, terminate',
    'transport-closed': 'closed: leave-all',
  },
  'open, nearly quiet': {
    sweep: 'open',
    'sweep, quiet': 'closing: leave-all, close 1000',
    'sweep, congested': 'open',
    overflow: 'closing: leave-all, close 1013',
    close: 'closing: leave-all, close 1001',
    abort: 'closed: leave-all, close 1008, terminate',
    'transport-closed': 'closed: leave-all',
  },
  'open, nearly congested': {
    sweep: 'open',
    'sweep, quiet': 'open',
    'sweep, congested': 'closing: leave-all, close 1013',
    overflow: 'closing: leave-all, close 1013',
    close: 'closing: leave-all, close 1001',
    abort: 'closed: leave-all, close 1008, terminate',
    'transport-closed': 'closed: leave-all',
  },
  closing: {
    sweep: 'closing',
    'sweep, quiet': 'closing',
    'sweep, congested': 'closing',
    overflow: 'closing',
    close: 'closing',
    abort: 'closing',
    'transport-closed': 'closed',
  },
  'closing, late': {
    sweep: 'closed: terminate',
    'sweep, quiet': 'closed: terminate',
    'sweep, congested': 'closed: terminate',
    overflow: 'closing',
    close: 'closing',
    abort: 'closing',
    'transport-closed': 'closed',
  },
  closed: {
    sweep: 'closed',
    'sweep, quiet': 'closed',
    'sweep, congested': 'closed',
    overflow: 'closed',
    close: 'closed',
    abort: 'closed',
    'transport-closed': 'closed',
  },
}

const stateNames = Object.keys(STATES) as StateName[]
const eventNames = Object.keys(EVENTS) as EventName[]

test.each(stateNames.flatMap((state) => eventNames.map((event) => [state, event] as const)))('%s + %s', (state, event) => {
  const step = connectionTransition(STATES[state], EVENTS[event], options)
  const done = step.effects.map((effect) =>
    effect.type === 'close-transport' ? `close ${effect.code}` : effect.type.replace('-transport', ''),
  )
  expect(step.state.kind + (done.length > 0 ? `: ${done.join(', ')}` : '')).toBe(TABLE[state][event])
})

test('whatever happens, channels are left exactly once and the socket is closed at most once', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...Object.values(EVENTS)), { maxLength: 40 }), (events) => {
      let state = initialConnection
      let left = 0
      let closed = 0
      for (const event of events) {
        const before = state.kind
        const step = connectionTransition(state, event, options)
        state = step.state
        for (const effect of step.effects) {
          if (effect.type === 'leave-all') left++
          if (effect.type === 'close-transport') closed++
        }
        if (before === 'closed') expect(step.effects).toEqual([])
        expect(left).toBe(state.kind === 'open' ? 0 : 1)
        expect(closed).toBeLessThanOrEqual(1)
      }
    }),
  )
})

test('silence and congestion are counted in sweeps, each by itself, and start over', () => {
  const after = (state: ConnectionState, heard: boolean, moved: boolean): ConnectionState =>
    connectionTransition(state, { type: 'sweep', heard, moved }, { maxQuietSweeps: 10, maxCongestedSweeps: 10, maxClosingSweeps: 3 }).state
  const quiet = after(initialConnection, false, true)
  expect(initialConnection).toEqual({ kind: 'open', quietSweeps: 0, congestedSweeps: 0 })
  expect(quiet).toEqual({ kind: 'open', quietSweeps: 1, congestedSweeps: 0 })
  const both = after(quiet, false, false)
  expect(both).toEqual({ kind: 'open', quietSweeps: 2, congestedSweeps: 1 })
  expect(after(both, true, false)).toEqual({ kind: 'open', quietSweeps: 0, congestedSweeps: 2 })
  expect(after(both, false, true)).toEqual({ kind: 'open', quietSweeps: 3, congestedSweeps: 0 })
})

test('a closing handshake may take exactly so many sweeps', () => {
  let state = connectionTransition(initialConnection, EVENTS.close, options).state
  const terminated: boolean[] = []
  while (state.kind !== 'closed') {
    const step = connectionTransition(state, EVENTS.sweep, options)
    state = step.state
    terminated.push(step.effects.length > 0)
  }
  expect(terminated).toEqual([false, true])
})

test('a sweep that finds nothing new makes no new state', () => {
  const sweep = { type: 'sweep', heard: true, moved: true } as const
  expect(connectionTransition(initialConnection, sweep, options).state).toBe(initialConnection)
  const counting: ConnectionState = { kind: 'open', quietSweeps: 1, congestedSweeps: 0 }
  expect(connectionTransition(counting, { ...sweep, heard: false }, options).state).not.toBe(counting)
})
