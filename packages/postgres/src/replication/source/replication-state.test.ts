import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ReplicationFault } from '../replication-fault.ts'
import type { ReplicationEffect, ReplicationEvent, ReplicationState, ReplicationTimer } from './replication-machine.ts'
import { CONNECTING, statusOf, replicationTransition } from './replication-state.ts'

const times = { statusIntervalMs: 10_000, nudgeIntervalMs: 500, reportDelayMs: 250, checkIntervalMs: 5_000, advanceIntervalMs: 10_000 }
const progress = { epoch: 'e1', log: 'l1', received: 100n, flushed: 50n }
const fault: ReplicationFault = { kind: 'unreachable', message: 'gone' }

type Streaming = Extract<ReplicationState, { kind: 'streaming' }>
const streaming: Streaming = { kind: 'streaming', progress, attempt: 0, inTransaction: false, unheard: 0, paused: false, reporting: false }

const STATES: Readonly<Record<ReplicationState['kind'], ReplicationState>> = {
  connecting: { kind: 'connecting', progress, attempt: 2, paused: false },
  streaming,
  waiting: { kind: 'waiting', progress, attempt: 1, paused: false, fault },
  closed: { kind: 'closed', progress },
}

type EventName = Exclude<ReplicationEvent['type'], 'timer'> | `timer ${ReplicationTimer}`

const EVENTS: Readonly<Record<EventName, ReplicationEvent>> = {
  attached: { type: 'attached', epoch: 'e1', log: 'l1', logBegin: 0n, confirmedLsn: 50n, reason: 'found' },
  failed: { type: 'failed', fault, jitter: 0.5 },
  heard: { type: 'heard' },
  begun: { type: 'begun' },
  committed: { type: 'committed', endLsn: 120n },
  keepalive: { type: 'keepalive', end: 130n, replyRequested: true },
  confirmed: { type: 'confirmed', epoch: 'e1', lsn: 80n },
  paused: { type: 'paused' },
  resumed: { type: 'resumed' },
  'timer status': { type: 'timer', timer: 'status', jitter: 0.5 },
  'timer nudge': { type: 'timer', timer: 'nudge', jitter: 0.5 },
  'timer report': { type: 'timer', timer: 'report', jitter: 0.5 },
  'timer check': { type: 'timer', timer: 'check', jitter: 0.5 },
  'timer advance': { type: 'timer', timer: 'advance', jitter: 0.5 },
  'timer retry': { type: 'timer', timer: 'retry', jitter: 0.5 },
  close: { type: 'close' },
}

/** Where each event leads, and what it has done there. No Partial: a state or an event without its cell does not compile. */
const TABLE: Readonly<Record<ReplicationState['kind'], Readonly<Record<EventName, string>>>> = {
  connecting: {
    attached: 'streaming start set:status set:nudge set:check set:advance check announce-status',
    failed: 'waiting detach set:retry announce-status',
    heard: 'connecting',
    begun: 'connecting',
    committed: 'connecting',
    keepalive: 'connecting',
    confirmed: 'connecting',
    paused: 'connecting',
    resumed: 'connecting',
    'timer status': 'connecting',
    'timer nudge': 'connecting',
    'timer report': 'connecting',
    'timer advance': 'connecting',
    'timer check': 'connecting',
    'timer retry': 'connecting',
    close: 'closed detach announce-status',
  },
  streaming: {
    attached: 'streaming',
    failed: 'waiting clear:status clear:nudge clear:check clear:advance detach set:retry announce-status',
    heard: 'streaming',
    begun: 'streaming',
    committed: 'streaming',
    keepalive: 'streaming send-status',
    confirmed: 'streaming set:report',
    paused: 'streaming',
    resumed: 'streaming',
    'timer status': 'streaming send-status set:status',
    'timer nudge': 'streaming send-status set:nudge',
    'timer report': 'streaming send-status',
    'timer advance': 'streaming advance set:advance',
    'timer check': 'streaming check set:check',
    'timer retry': 'streaming',
    close: 'closed send-status clear:status clear:nudge clear:check clear:advance detach announce-status',
  },
  waiting: {
    attached: 'waiting',
    failed: 'waiting',
    heard: 'waiting',
    begun: 'waiting',
    committed: 'waiting',
    keepalive: 'waiting',
    confirmed: 'waiting',
    paused: 'waiting',
    resumed: 'waiting',
    'timer status': 'waiting',
    'timer nudge': 'waiting',
    'timer report': 'waiting',
    'timer advance': 'waiting',
    'timer check': 'waiting',
    'timer retry': 'connecting attach announce-status',
    close: 'closed clear:retry announce-status',
  },
  closed: {
    attached: 'closed',
    failed: 'closed',
    heard: 'closed',
    begun: 'closed',
    committed: 'closed',
    keepalive: 'closed',
    confirmed: 'closed',
    paused: 'closed',
    resumed: 'closed',
    'timer status': 'closed',
    'timer nudge': 'closed',
    'timer report': 'closed',
    'timer advance': 'closed',
    'timer check': 'closed',
    'timer retry': 'closed',
    close: 'closed',
  },
}

function effectName(effect: ReplicationEffect): string {
  if (effect.type === 'set-timer') return `set:${effect.timer}`
  if (effect.type === 'clear-timer') return `clear:${effect.timer}`
  return effect.type
}

const cells = Object.entries(TABLE).flatMap(([from, row]) =>
  Object.entries(row).map(([name, outcome]) => [from as ReplicationState['kind'], name as EventName, outcome] as const),
)

test.each(cells)('%s + %s → %s', (from, name, outcome) => {
  const { state, effects } = replicationTransition(STATES[from], EVENTS[name], times)
  expect([state.kind, ...effects.map(effectName)].join(' ')).toBe(outcome)
})

function after(state: ReplicationState, ...events: ReplicationEvent[]): { state: ReplicationState; effects: readonly ReplicationEffect[] } {
  let step: { state: ReplicationState; effects: readonly ReplicationEffect[] } = { state, effects: [] }
  for (const event of events) step = replicationTransition(step.state, event, times)
  return step
}

describe('what is reported to Postgres as done', () => {
  test('is what was confirmed, not what was received', () => {
    const { state, effects } = after(streaming, { type: 'committed', endLsn: 120n }, EVENTS['timer status'])
    expect(state.progress).toEqual({ epoch: 'e1', log: 'l1', received: 120n, flushed: 50n })
    expect(effects[0]).toEqual({ type: 'send-status', received: 120n, flushed: 50n, requestReply: true })
  })

  test('does not follow keepalives and empty transactions by itself', () => {
    expect(after(streaming, EVENTS.keepalive).state.progress).toEqual({ ...progress, received: 130n })
    const idle = after(streaming, EVENTS.confirmed, EVENTS.begun, { type: 'committed', endLsn: 140n })
    expect(idle.state.progress).toEqual({ ...progress, received: 140n, flushed: 80n })
  })

  test('is not moved by a keepalive in the middle of a transaction', () => {
    const { state, effects } = after({ ...streaming, progress: { ...progress, flushed: 100n } }, EVENTS.begun, EVENTS.keepalive)
    expect(state.progress).toEqual({ ...progress, flushed: 100n })
    expect(effects).toEqual([{ type: 'send-status', received: 100n, flushed: 100n, requestReply: false }])
  })

  test('never passes what was received, whatever is confirmed', () => {
    const { state } = after({ ...streaming, progress: { ...progress, received: 90n } }, { type: 'confirmed', epoch: 'e1', lsn: 1_000n })
    expect(state.progress.flushed).toBe(90n)
  })

  test('ignores confirmations of another epoch and older ones', () => {
    expect(after(streaming, { type: 'confirmed', epoch: 'e0', lsn: 80n }).state).toBe(streaming)
    expect(after(streaming, { type: 'confirmed', epoch: 'e1', lsn: 40n }).state).toBe(streaming)
  })

  test('several confirmations are reported together', () => {
    const first = after(streaming, { type: 'confirmed', epoch: 'e1', lsn: 60n })
    expect(after(first.state, { type: 'confirmed', epoch: 'e1', lsn: 70n }).effects).toEqual([])
    expect(after(first.state, { type: 'confirmed', epoch: 'e1', lsn: 70n }, EVENTS['timer report']).effects).toEqual([
      { type: 'send-status', received: 100n, flushed: 70n, requestReply: false },
    ])
  })

  test('confirmations count while there is no connection', () => {
    expect(after(STATES.waiting, EVENTS.confirmed).state.progress.flushed).toBe(80n)
  })
})

describe('a new connection', () => {
  const attached = (changed: Partial<Extract<ReplicationEvent, { type: 'attached' }>>): ReturnType<typeof after> =>
    after(STATES.connecting, { type: 'attached', epoch: 'e1', log: 'l1', logBegin: 0n, confirmedLsn: 0n, reason: 'found', ...changed })

  test('of the same epoch goes on where the last one was', () => {
    const { state, effects } = after(STATES.connecting, EVENTS.attached)
    expect(state.progress).toEqual(progress)
    expect(effects[0]).toEqual({ type: 'start', from: 100n })
  })

  test('whose slot begins behind what was received reports the gap first', () => {
    const { state, effects } = attached({ confirmedLsn: 101n })
    expect(state.progress).toEqual({ epoch: 'e1', log: 'l1', received: 101n, flushed: 101n })
    expect(effects.slice(0, 2)).toEqual([
      { type: 'announce-epoch', epoch: 'e1', previous: 'e1', reason: 'fell-behind', isOtherLog: false },
      { type: 'start', from: 101n },
    ])
  })

  test('whose slot begins where it ended, or before that after a crash, goes on without one', () => {
    for (const confirmedLsn of [100n, 60n, 10n]) {
      const { state, effects } = attached({ confirmedLsn })
      expect(effects[0]).toEqual({ type: 'start', from: 100n })
      expect(state.progress.flushed).toBe(confirmedLsn > 50n ? confirmedLsn : 50n)
    }
  })

  test('of another epoch starts where its slot does, and says so first', () => {
    const { state, effects } = attached({ epoch: 'e2', confirmedLsn: 107n, reason: 'lost' })
    expect(state.progress).toEqual({ epoch: 'e2', log: 'l1', received: 107n, flushed: 107n })
    expect(effects.slice(0, 2)).toEqual([
      { type: 'announce-epoch', epoch: 'e2', previous: 'e1', reason: 'lost', isOtherLog: false },
      { type: 'start', from: 107n },
    ])
  })

  test('of another epoch goes on from what was received where its slot begins before that: nothing comes again', () => {
    const { state, effects } = attached({ epoch: 'e2', confirmedLsn: 70n })
    expect(state.progress).toEqual({ epoch: 'e2', log: 'l1', received: 100n, flushed: 100n })
    expect(effects[1]).toEqual({ type: 'start', from: 100n })
  })

  test('of another log starts where its slot does, wherever the old log was', () => {
    const { state, effects } = attached({ epoch: 'e2', log: 'l2', logBegin: 5n, confirmedLsn: 7n, reason: 'created' })
    expect(state.progress).toEqual({ epoch: 'e2', log: 'l2', received: 7n, flushed: 7n })
    expect(effects.slice(0, 2)).toEqual([
      { type: 'announce-epoch', epoch: 'e2', previous: 'e1', reason: 'created', isOtherLog: true },
      { type: 'start', from: 7n },
    ])
  })

  test('of another log does not bring again what both logs have', () => {
    const { effects } = attached({ epoch: 'e2', log: 'l2', logBegin: 60n, confirmedLsn: 7n })
    expect(effects[1]).toEqual({ type: 'start', from: 60n })
  })

  test('after a changed publication asks for a new slot', () => {
    const changed: ReplicationEvent = { type: 'failed', fault: { kind: 'publication-changed', message: '' }, jitter: 0 }
    expect(after(streaming, changed, EVENTS['timer retry']).effects[0]).toEqual({ type: 'attach', replaceSlot: true })
    expect(after(streaming, EVENTS.failed, EVENTS['timer retry']).effects[0]).toEqual({ type: 'attach', replaceSlot: false })
  })

  test('keeps the consumer’s pause', () => {
    const { state } = after(streaming, EVENTS.paused, EVENTS.failed, EVENTS['timer retry'], EVENTS.attached)
    expect(state).toMatchObject({ kind: 'streaming', paused: true })
  })

  test('waits longer after each failure, until the server is heard', () => {
    const delayOf = (step: { effects: readonly ReplicationEffect[] }): number =>
      step.effects.flatMap((effect) => (effect.type === 'set-timer' && effect.timer === 'retry' ? [effect.afterMs] : []))[0] ?? 0
    let step = after(streaming, EVENTS.failed)
    const delays = [delayOf(step)]
    for (let attempt = 0; attempt < 9; attempt++) {
      step = after(step.state, EVENTS['timer retry'], EVENTS.attached, EVENTS.failed)
      delays.push(delayOf(step))
    }
    expect(delays).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000])
    step = after(step.state, EVENTS['timer retry'], EVENTS.attached, EVENTS.heard, EVENTS.failed)
    expect(delayOf(step)).toBe(100)
  })
})

describe('a server that is not heard', () => {
  test('is given up after three unanswered status messages', () => {
    const status = EVENTS['timer status']
    const quiet = after(streaming, status, status, status)
    expect(quiet.state.kind).toBe('streaming')
    expect(after(quiet.state, EVENTS.heard, status).state.kind).toBe('streaming')
    expect(after(quiet.state, status).state).toMatchObject({ kind: 'waiting', fault: { kind: 'silent' } })
  })

  test('is not missed while the consumer keeps the socket from being read', () => {
    const status = EVENTS['timer status']
    expect(after(streaming, EVENTS.paused, status, status, status, status, status).state.kind).toBe('streaming')
    expect(after(streaming, EVENTS.paused, status, status, status, status, EVENTS.resumed, status, status).state.kind).toBe('streaming')
  })
})

test('random walks: timers and connections match the state, nothing unconfirmed is reported as done', () => {
  const lsn = fc.integer({ min: 1, max: 50 })
  const event: fc.Arbitrary<ReplicationEvent> = fc.oneof(
    fc.constantFrom(...Object.values(EVENTS).filter(({ type }) => type !== 'timer' && type !== 'close')),
    fc
      .constantFrom<ReplicationTimer>('status', 'nudge', 'report', 'check', 'advance', 'retry')
      .map((timer) => ({ type: 'timer' as const, timer, jitter: 0 })),
    fc.record({
      type: fc.constant('attached' as const),
      epoch: fc.constantFrom('e1', 'e2'),
      log: fc.constantFrom('l1', 'l2'),
      logBegin: lsn.map(BigInt),
      confirmedLsn: lsn.map(BigInt),
      reason: fc.constant('found' as const),
    }),
    fc.record({ type: fc.constant('committed' as const), endLsn: lsn.map(BigInt) }),
    fc.record({ type: fc.constant('keepalive' as const), end: lsn.map(BigInt), replyRequested: fc.boolean() }),
    fc.record({ type: fc.constant('confirmed' as const), epoch: fc.constantFrom('e1', 'e2'), lsn: lsn.map(BigInt) }),
    fc.constant(EVENTS.close),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      let state: ReplicationState = CONNECTING
      let effects: readonly ReplicationEffect[] = [{ type: 'attach', replaceSlot: false }]
      const armed = new Set<ReplicationTimer>()
      let connections = 0
      let confirmed = 0n
      const apply = (all: readonly ReplicationEffect[]): void => {
        for (const effect of all) {
          if (effect.type === 'set-timer') expect(armed.size < armed.add(effect.timer).size).toBe(true)
          if (effect.type === 'clear-timer') expect(armed.delete(effect.timer)).toBe(true)
          if (effect.type === 'attach') connections++
          if (effect.type === 'detach') connections--
          if (effect.type === 'send-status') expect(connections).toBe(1)
          if (effect.type === 'announce-epoch') confirmed = 0n
        }
      }
      apply(effects)
      for (const next of events) {
        if (next.type === 'timer' && !armed.delete(next.timer)) continue
        const before = state
        ;({ state, effects } = replicationTransition(state, next, times))
        apply(effects)
        if (next.type === 'confirmed' && next.epoch === before.progress.epoch && next.lsn > confirmed) confirmed = next.lsn
        expect(connections).toBe(state.kind === 'connecting' || state.kind === 'streaming' ? 1 : 0)
        const reporting = state.kind === 'streaming' && state.reporting
        const wanted = {
          connecting: [],
          closed: [],
          waiting: ['retry'],
          streaming: ['advance', 'check', 'nudge', ...(reporting ? ['report'] : []), 'status'],
        }[state.kind]
        expect([...armed].sort()).toEqual(wanted)
        const { flushed, received, epoch } = state.progress
        if (epoch === before.progress.epoch) expect(flushed >= before.progress.flushed && received >= before.progress.received).toBe(true)
        expect(received >= flushed).toBe(true)
        const announced = effects.filter(({ type }) => type === 'announce-status').length
        expect(announced).toBe(state.kind === before.kind ? 0 : 1)
        // What was not confirmed is never reported as done, unless the slot itself had it as confirmed.
        if (next.type !== 'attached' && flushed > before.progress.flushed) expect(confirmed >= flushed).toBe(true)
      }
    }),
    { numRuns: 2_000 },
  )
})

test('a status says what the state is, and no more', () => {
  expect(statusOf(CONNECTING)).toEqual({ kind: 'connecting' })
  expect(Object.values(STATES).map(statusOf)).toEqual([
    { kind: 'connecting' },
    { kind: 'streaming' },
    { kind: 'waiting', fault },
    { kind: 'closed' },
  ])
})
