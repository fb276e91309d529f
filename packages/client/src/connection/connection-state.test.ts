import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  connectionTransition,
  disconnected,
  type ConnectionEvent,
  type ConnectionOptions,
  type ConnectionState,
} from './connection-state.ts'

const options: ConnectionOptions = {
  heartbeatIntervalMs: 25_000,
  timeoutMs: 10_000,
  closeTimeoutMs: 1500,
  retryInMs: (attempt) => attempt * 100,
}
const loss = { code: 1006, reason: '', wasClean: false }

type Kind = ConnectionState['kind']

const states: Record<Kind, ConnectionState> = {
  disconnected,
  connecting: { kind: 'connecting', attempt: 0 },
  connected: { kind: 'connected', attempt: 0, heartbeatRef: null },
  waiting: { kind: 'waiting', attempt: 1, retryInMs: 100, cause: loss },
  closing: { kind: 'closing' },
  suspended: { kind: 'suspended' },
}
type EventName = ConnectionEvent['type'] | 'closed for good'

const events: Record<EventName, ConnectionEvent> = {
  connect: { type: 'connect' },
  disconnect: { type: 'disconnect' },
  opened: { type: 'opened' },
  closed: { type: 'closed', loss },
  'closed for good': { type: 'closed', loss: { ...loss, fault: 'unauthorized' } },
  proven: { type: 'proven' },
  'heartbeat-reply': { type: 'heartbeat-reply', ref: '1' },
  timer: { type: 'timer', ref: '1' },
  beat: { type: 'beat', ref: '1' },
  wake: { type: 'wake', ref: '1' },
  freeze: { type: 'freeze' },
}

function shown({ state, effects }: ReturnType<typeof connectionTransition>): string {
  const done = effects.map((effect) => (effect.type === 'timer' ? `timer ${effect.afterMs ?? 'off'}` : effect.type))
  return done.length === 0 ? state.kind : `${state.kind}: ${done.join(', ')}`
}

// The next state, then the effects. No Partial: a state or an event without its cell does not compile.
const table: Record<Kind, Record<EventName, string>> = {
  disconnected: {
    connect: 'connecting: timer 10000, open-socket',
    disconnect: 'disconnected',
    opened: 'disconnected',
    closed: 'disconnected',
    'closed for good': 'disconnected',
    proven: 'disconnected',
    'heartbeat-reply': 'disconnected',
    timer: 'disconnected',
    beat: 'disconnected',
    wake: 'disconnected',
    freeze: 'disconnected',
  },
  connecting: {
    connect: 'connecting',
    disconnect: 'disconnected: timer off, drop-socket, down',
    opened: 'connected: timer 25000, up',
    closed: 'waiting: timer 100, down',
    'closed for good': 'disconnected: timer off, down',
    proven: 'connecting',
    'heartbeat-reply': 'connecting',
    timer: 'waiting: drop-socket, timer 100, down',
    beat: 'connecting',
    wake: 'connecting',
    freeze: 'suspended: timer off, drop-socket, down',
  },
  connected: {
    connect: 'connected',
    disconnect: 'closing: timer 1500, close-socket',
    opened: 'connected',
    closed: 'waiting: timer 100, down',
    'closed for good': 'waiting: timer 100, down',
    proven: 'connected',
    'heartbeat-reply': 'connected',
    timer: 'connected: timer 10000, send-heartbeat',
    beat: 'connected: timer 10000, send-heartbeat',
    wake: 'connected: timer 10000, send-heartbeat',
    freeze: 'suspended: timer off, drop-socket, down',
  },
  waiting: {
    connect: 'connecting: timer 10000, open-socket',
    disconnect: 'disconnected: timer off',
    opened: 'waiting',
    closed: 'waiting',
    'closed for good': 'waiting',
    proven: 'waiting',
    'heartbeat-reply': 'waiting',
    timer: 'connecting: timer 10000, open-socket',
    beat: 'waiting',
    wake: 'connecting: timer 10000, open-socket',
    freeze: 'suspended: timer off',
  },
  closing: {
    connect: 'connecting: drop-socket, down, timer 10000, open-socket',
    disconnect: 'closing',
    opened: 'closing',
    closed: 'disconnected: timer off, down',
    'closed for good': 'disconnected: timer off, down',
    proven: 'closing',
    'heartbeat-reply': 'closing',
    timer: 'disconnected: timer off, drop-socket, down',
    beat: 'closing',
    wake: 'closing',
    freeze: 'disconnected: timer off, drop-socket, down',
  },
  suspended: {
    connect: 'connecting: timer 10000, open-socket',
    disconnect: 'disconnected',
    opened: 'suspended',
    closed: 'suspended',
    'closed for good': 'suspended',
    proven: 'suspended',
    'heartbeat-reply': 'suspended',
    timer: 'suspended',
    beat: 'suspended',
    wake: 'connecting: timer 10000, open-socket',
    freeze: 'suspended',
  },
}

describe.each(Object.keys(table) as Kind[])('%s', (from) => {
  test.each(Object.keys(events) as EventName[])('%s', (name) => {
    expect(shown(connectionTransition(states[from], events[name], options))).toBe(table[from][name])
  })
})

test('an unanswered heartbeat ends the connection, an answered one does not', () => {
  const beaten = connectionTransition(states.connected, { type: 'timer', ref: '7' }, options)
  expect(beaten).toEqual({
    state: { kind: 'connected', attempt: 0, heartbeatRef: '7' },
    effects: [
      { type: 'timer', afterMs: 10_000 },
      { type: 'send-heartbeat', ref: '7' },
    ],
  })
  expect(connectionTransition(beaten.state, { type: 'heartbeat-reply', ref: '6' }, options).state).toBe(beaten.state)
  expect(connectionTransition(beaten.state, { type: 'heartbeat-reply', ref: '7' }, options).state).toEqual(states.connected)
  const dead = connectionTransition(beaten.state, { type: 'timer', ref: '8' }, options)
  expect(dead.state).toMatchObject({ kind: 'waiting', attempt: 1 })
  expect(dead.effects.map(({ type }) => type)).toEqual(['heartbeat-missed', 'drop-socket', 'timer', 'down'])
})

test.each(['beat', 'wake', 'timer'] as const)(
  'on %s a connection is probed within the timeout, or the interval if that is shorter',
  (type) => {
    expect(connectionTransition(states.connected, events[type], options).effects[0]).toEqual({ type: 'timer', afterMs: 10_000 })
    const short = { ...options, heartbeatIntervalMs: 5000 }
    expect(connectionTransition(states.connected, events[type], short).effects[0]).toEqual({ type: 'timer', afterMs: 5000 })
  },
)

test.each<[string, ConnectionState, ConnectionEvent, object]>([
  ['disconnecting while it opens', states.connecting, events.disconnect, { code: 1005, reason: '', wasClean: true }],
  ['connecting while it closes', states.closing, events.connect, { code: 1005, reason: '', wasClean: true }],
  ['a socket that does not open in time', states.connecting, events.timer, { reason: 'the socket did not open in time', wasClean: false }],
  ['a silent server', { kind: 'connected', attempt: 0, heartbeatRef: '7' }, events.timer, { reason: 'heartbeat timeout', wasClean: false }],
  ['a frozen page', states.connected, events.freeze, { reason: 'the page was frozen', wasClean: true }],
])('the loss of %s', (_, state, event, lost) => {
  expect(connectionTransition(state, event, options).effects).toContainEqual({ type: 'down', loss: lost })
})

test('connecting by hand and waking a frozen page start to count attempts again; waking a waiting one does not', () => {
  const waiting: ConnectionState = { kind: 'waiting', attempt: 3, retryInMs: 100, cause: loss }
  expect(connectionTransition(waiting, events.connect, options).state).toEqual({ kind: 'connecting', attempt: 0 })
  expect(connectionTransition(states.suspended, events.wake, options).state).toEqual({ kind: 'connecting', attempt: 0 })
  expect(connectionTransition(waiting, events.wake, options).state).toEqual({ kind: 'connecting', attempt: 3 })
  expect(connectionTransition(waiting, events.proven, options).state).toBe(waiting)
})

test('a heartbeat is asked for once while one is on its way', () => {
  const beaten: ConnectionState = { kind: 'connected', attempt: 0, heartbeatRef: '7' }
  expect(connectionTransition(beaten, events.beat, options)).toEqual({ state: beaten, effects: [] })
})

test('a server that accepts and hangs up is backed off from; one that answered is not', () => {
  const opened = connectionTransition({ kind: 'connecting', attempt: 3 }, events.opened, options).state
  expect(connectionTransition(opened, events.closed, options).state).toMatchObject({ attempt: 4, retryInMs: 400 })
  const proven = connectionTransition(opened, events.proven, options).state
  expect(connectionTransition(proven, events.closed, options).state).toMatchObject({ attempt: 1, retryInMs: 100 })
})

test('random walks: timer, socket and notices always match the state', () => {
  const hasSocket: Record<Kind, boolean> = {
    disconnected: false,
    connecting: true,
    connected: true,
    waiting: false,
    closing: true,
    suspended: false,
  }
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...(Object.keys(events) as EventName[])), { maxLength: 60 }), (walk) => {
      let state: ConnectionState = disconnected
      let armed = false
      let sockets = 0
      let isUp = false
      for (const name of walk) {
        const event = events[name]
        const { type } = event
        if (type === 'timer') {
          if (!armed) continue
          armed = false
        }
        // A socket that is gone says nothing more.
        if ((type === 'opened' || type === 'closed') && sockets === 0) continue
        if (type === 'closed') sockets--
        const step = connectionTransition(state, event, options)
        for (const effect of step.effects) {
          if (effect.type === 'timer') armed = effect.afterMs !== null
          if (effect.type === 'open-socket') sockets++
          if (effect.type === 'drop-socket') sockets--
          if (effect.type === 'up') {
            expect(isUp).toBe(false)
            isUp = true
          }
          if (effect.type === 'down') isUp = false
        }
        state = step.state
        expect(armed, `timer in ${state.kind} after ${name}`).toBe(state.kind !== 'disconnected' && state.kind !== 'suspended')
        expect(sockets, `sockets in ${state.kind} after ${name}`).toBe(hasSocket[state.kind] ? 1 : 0)
        expect(isUp && state.kind !== 'connected' && state.kind !== 'closing').toBe(false)
      }
    }),
    { numRuns: 2000 },
  )
})
