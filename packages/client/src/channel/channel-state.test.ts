import { RealtimeError } from '@tidewire/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { channelTransition, closed, type ChannelEvent, type ChannelOptions, type ChannelState } from './channel-state.ts'

const options: ChannelOptions = { joinTimeoutMs: 10_000, retryInMs: (attempt) => attempt * 100 }
const error = new RealtimeError('connection-lost', 'lost', { retryable: true })
const forGood = new RealtimeError('unauthorized', 'no')

type Name =
  | Exclude<ChannelState['kind'], 'joining' | 'errored'>
  | `joining/${Extract<ChannelState, { kind: 'joining' }>['phase']}`
  | `errored/${'timer' | 'waits'}`
type EventName = ChannelEvent['type'] | `${'subscribe' | 'timer'} offline` | `${'authorized' | 'accepted'} (old)` | 'refused for good'

const states: Record<Name, ChannelState> = {
  closed,
  'joining/socket': { kind: 'joining', phase: 'socket', attempt: 0 },
  'joining/token': { kind: 'joining', phase: 'token', joinRef: '1', attempt: 0 },
  'joining/reply': { kind: 'joining', phase: 'reply', joinRef: '1', attempt: 0 },
  joined: { kind: 'joined', joinRef: '1' },
  'errored/timer': { kind: 'errored', attempt: 1, retryInMs: 100 },
  'errored/waits': { kind: 'errored', attempt: 1, retryInMs: null },
}

const events: Record<EventName, ChannelEvent> = {
  subscribe: { type: 'subscribe', isUp: true, ref: '2' },
  'subscribe offline': { type: 'subscribe', isUp: false, ref: '2' },
  up: { type: 'up', ref: '2' },
  down: { type: 'down', error },
  authorized: { type: 'authorized', ref: '1' },
  'authorized (old)': { type: 'authorized', ref: '0' },
  accepted: { type: 'accepted', ref: '1' },
  'accepted (old)': { type: 'accepted', ref: '0' },
  refused: { type: 'refused', ref: '1', error },
  'refused for good': { type: 'refused', ref: '1', error: forGood },
  crashed: { type: 'crashed', error },
  closed: { type: 'closed' },
  timer: { type: 'timer', isUp: true, ref: '2' },
  'timer offline': { type: 'timer', isUp: false, ref: '2' },
  'token-changed': { type: 'token-changed', isUp: true, ref: '2' },
  leave: { type: 'leave' },
}

function nameOf(state: ChannelState): Name {
  if (state.kind === 'joining') return `joining/${state.phase}`
  if (state.kind === 'errored') return state.retryInMs === null ? 'errored/waits' : 'errored/timer'
  return state.kind
}

function shown({ state, effects }: ReturnType<typeof channelTransition>): string {
  const done = effects.map((effect) =>
    effect.type === 'timer' ? `timer ${effect.afterMs ?? 'off'}` : effect.type === 'status' ? effect.status : effect.type,
  )
  return done.length === 0 ? nameOf(state) : `${nameOf(state)}: ${done.join(', ')}`
}

// The next state, then the effects. No Partial: a state or an event without its cell does not compile.
const table: Record<Name, Record<EventName, string>> = {
  closed: {
    subscribe: 'joining/token: timer off, authorize',
    'subscribe offline': 'joining/socket: timer 10000',
    up: 'closed',
    down: 'closed',
    authorized: 'closed',
    'authorized (old)': 'closed',
    accepted: 'closed',
    'accepted (old)': 'closed',
    refused: 'closed',
    'refused for good': 'closed',
    crashed: 'closed',
    closed: 'closed',
    timer: 'closed',
    'timer offline': 'closed',
    'token-changed': 'closed',
    leave: 'closed',
  },
  'joining/socket': {
    subscribe: 'joining/socket',
    'subscribe offline': 'joining/socket',
    up: 'joining/token: timer off, authorize',
    down: 'errored/waits: timer off, lost, CHANNEL_ERROR',
    authorized: 'joining/socket',
    'authorized (old)': 'joining/socket',
    accepted: 'joining/socket',
    'accepted (old)': 'joining/socket',
    refused: 'joining/socket',
    'refused for good': 'joining/socket',
    crashed: 'errored/timer: timer 100, lost, CHANNEL_ERROR',
    closed: 'closed: timer off, removed, CLOSED',
    timer: 'errored/timer: timer 100, lost, TIMED_OUT',
    'timer offline': 'errored/waits: timer off, lost, TIMED_OUT',
    'token-changed': 'joining/socket',
    leave: 'closed: timer off, removed, CLOSED',
  },
  'joining/token': {
    subscribe: 'joining/token',
    'subscribe offline': 'joining/token',
    up: 'joining/token',
    down: 'errored/waits: timer off, lost, CHANNEL_ERROR',
    authorized: 'joining/reply: timer 10000, send-join',
    'authorized (old)': 'joining/token',
    accepted: 'joining/token',
    'accepted (old)': 'joining/token',
    refused: 'errored/timer: timer 100, lost, CHANNEL_ERROR',
    'refused for good': 'errored/waits: timer off, lost, CHANNEL_ERROR',
    crashed: 'errored/timer: timer 100, lost, CHANNEL_ERROR',
    closed: 'closed: timer off, removed, CLOSED',
    timer: 'errored/timer: timer 100, lost, TIMED_OUT',
    'timer offline': 'errored/waits: timer off, lost, TIMED_OUT',
    'token-changed': 'joining/token',
    leave: 'closed: timer off, removed, CLOSED',
  },
  'joining/reply': {
    subscribe: 'joining/reply',
    'subscribe offline': 'joining/reply',
    up: 'joining/reply',
    down: 'errored/waits: timer off, lost, CHANNEL_ERROR',
    authorized: 'joining/reply',
    'authorized (old)': 'joining/reply',
    accepted: 'joined: timer off, SUBSCRIBED',
    'accepted (old)': 'joining/reply',
    refused: 'errored/timer: timer 100, lost, CHANNEL_ERROR',
    'refused for good': 'errored/waits: timer off, lost, CHANNEL_ERROR',
    crashed: 'errored/timer: timer 100, lost, CHANNEL_ERROR',
    closed: 'closed: timer off, removed, CLOSED',
    timer: 'errored/timer: send-leave, timer 100, lost, TIMED_OUT',
    'timer offline': 'errored/waits: send-leave, timer off, lost, TIMED_OUT',
    'token-changed': 'joining/reply',
    leave: 'closed: timer off, send-leave, removed, CLOSED',
  },
  joined: {
    subscribe: 'joined',
    'subscribe offline': 'joined',
    up: 'joined',
    down: 'errored/waits: timer off, lost, CHANNEL_ERROR',
    authorized: 'joined',
    'authorized (old)': 'joined',
    accepted: 'joined',
    'accepted (old)': 'joined',
    refused: 'joined',
    'refused for good': 'joined',
    crashed: 'errored/timer: timer 100, lost, CHANNEL_ERROR',
    closed: 'closed: timer off, removed, CLOSED',
    timer: 'joined',
    'timer offline': 'joined',
    'token-changed': 'joined',
    leave: 'closed: timer off, send-leave, removed, CLOSED',
  },
  'errored/timer': {
    subscribe: 'errored/timer',
    'subscribe offline': 'errored/timer',
    up: 'joining/token: timer off, authorize',
    down: 'errored/waits: timer off',
    authorized: 'errored/timer',
    'authorized (old)': 'errored/timer',
    accepted: 'errored/timer',
    'accepted (old)': 'errored/timer',
    refused: 'errored/timer',
    'refused for good': 'errored/timer',
    crashed: 'errored/timer',
    closed: 'closed: timer off, removed, CLOSED',
    timer: 'joining/token: timer off, authorize',
    'timer offline': 'errored/waits',
    'token-changed': 'errored/timer',
    leave: 'closed: timer off, removed, CLOSED',
  },
  'errored/waits': {
    subscribe: 'joining/token: timer off, authorize',
    'subscribe offline': 'joining/socket: timer 10000',
    up: 'joining/token: timer off, authorize',
    down: 'errored/waits: timer off',
    authorized: 'errored/waits',
    'authorized (old)': 'errored/waits',
    accepted: 'errored/waits',
    'accepted (old)': 'errored/waits',
    refused: 'errored/waits',
    'refused for good': 'errored/waits',
    crashed: 'errored/waits',
    closed: 'closed: timer off, removed, CLOSED',
    timer: 'joining/token: timer off, authorize',
    'timer offline': 'errored/waits',
    'token-changed': 'joining/token: timer off, authorize',
    leave: 'closed: timer off, removed, CLOSED',
  },
}

describe.each(Object.keys(states) as Name[])('%s', (from) => {
  test.each(Object.keys(events) as EventName[])('%s', (name) => {
    expect(shown(channelTransition(states[from], events[name], options))).toBe(table[from][name])
  })
})

test('statuses', () => {
  const statusOf = (from: ChannelState, event: ChannelEvent): unknown =>
    channelTransition(from, event, options).effects.flatMap((effect) => (effect.type === 'status' ? [effect.status] : []))
  expect(statusOf(states['joining/reply'], events.accepted)).toEqual(['SUBSCRIBED'])
  expect(statusOf(states['joining/reply'], events.refused)).toEqual(['CHANNEL_ERROR'])
  expect(statusOf(states['joining/reply'], events.timer)).toEqual(['TIMED_OUT'])
  expect(statusOf(states.joined, events.down)).toEqual(['CHANNEL_ERROR'])
  expect(statusOf(states.joined, events.leave)).toEqual(['CLOSED'])
  expect(statusOf(states['errored/timer'], events.down)).toEqual([])
})

test('only `leave` and a join that timed out are sent to the server', () => {
  const sends = (from: ChannelState, event: ChannelEvent): boolean =>
    channelTransition(from, event, options).effects.some(({ type }) => type === 'send-leave')
  expect(sends(states.joined, events.leave)).toBe(true)
  expect(sends(states.joined, events.closed)).toBe(false)
  expect(sends(states['joining/reply'], events.refused)).toBe(false)
  expect(channelTransition(closed, events.closed, options)).toEqual({ state: closed, effects: [] })
})

test('each failure counts as an attempt, until a join succeeds', () => {
  const first = channelTransition(closed, events.subscribe, options).state
  expect(first).toMatchObject({ attempt: 0 })
  const failed = channelTransition(states['joining/reply'], events.refused, options).state
  expect(failed).toEqual({ kind: 'errored', attempt: 1, retryInMs: 100 })
  const again = channelTransition(failed, events.timer, options).state
  expect(again).toMatchObject({ kind: 'joining', attempt: 1 })
  expect(channelTransition(again, events.crashed, options).state).toMatchObject({ attempt: 2, retryInMs: 200 })
  expect(channelTransition(states.joined, events.crashed, options).state).toMatchObject({ attempt: 1 })
})

test('a join that timed out is taken back; one that was never sent is not', () => {
  expect(channelTransition(states['joining/reply'], events.timer, options).effects).toContainEqual({ type: 'send-leave', joinRef: '1' })
  expect(channelTransition(states['joining/socket'], events.timer, options).effects.some(({ type }) => type === 'send-leave')).toBe(false)
})

test('random walks: the timer is armed exactly where the state says, every membership is taken back once', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...(Object.keys(events) as EventName[])), { maxLength: 60 }), (walk) => {
      let state: ChannelState = closed
      let armed = false
      let count = 0
      let asked: string | null = null
      for (const name of walk) {
        let event: ChannelEvent = events[name]
        if (event.type === 'timer') {
          if (!armed) continue
          armed = false
        }
        if ('ref' in event) {
          const answers = event.type === 'authorized' || event.type === 'accepted' || event.type === 'refused'
          event = { ...event, ref: answers && !name.endsWith('(old)') ? (asked ?? '0') : answers ? '0' : String(++count) }
        }
        const step = channelTransition(state, event, options)
        for (const effect of step.effects) {
          if (effect.type === 'timer') armed = effect.afterMs !== null
          if (effect.type === 'authorize') asked = effect.ref
        }
        state = step.state
        const wanted = (state.kind === 'joining' && state.phase !== 'token') || (state.kind === 'errored' && state.retryInMs !== null)
        expect(armed, `${nameOf(state)} after ${name}`).toBe(wanted)
      }
    }),
    { numRuns: 2000 },
  )
})
