/**
 * The connection to the feed as a machine. Knows nothing of sockets or clocks.
 *
 *   connecting ──attached──► streaming ──failed / silent──► waiting ──retry──► connecting
 *       └──────────failed─────────────────────────────────────▲
 *
 * Two positions are kept apart: what was *received* and what is *flushed*, which is what the consumer confirmed. Only the
 * latter is ever reported to Postgres as done, so that after a crash nothing is missing. Where `followsIdle` is set and the
 * consumer owes nothing, the flushed position follows the server's own; else the consumer confirms what was idle, too.
 *
 * A new connection starts behind what was received. If its slot begins later than that, changes are missing: the epoch is
 * announced again, with the reason `fell-behind`.
 */
import { laterLsn, type Lsn } from '../lsn.ts'
import { retryDelayMs, type ReplicationFault } from '../replication-fault.ts'
import type {
  Connecting,
  OpenState,
  Progress,
  ReplicationEffect,
  ReplicationEvent,
  ReplicationState,
  ReplicationStep,
  ReplicationTimer,
  ReplicationTimes,
  Streaming,
} from './replication-machine.ts'

export type * from './replication-machine.ts'

/** So many status messages without a word from the server, and the connection counts as dead. */
const MAX_UNHEARD = 3

const NOWHERE: Progress = { epoch: null, log: null, received: 0n, handedOver: 0n, flushed: 0n }

/** The first step: connect. */
export function openReplication(): ReplicationStep {
  return { state: { kind: 'connecting', progress: NOWHERE, attempt: 0, paused: false }, effects: [{ type: 'attach', replaceSlot: false }] }
}

export function transition(state: ReplicationState, event: ReplicationEvent, times: ReplicationTimes): ReplicationStep {
  if (state.kind === 'closed') return stay(state)
  switch (event.type) {
    case 'attached':
      return state.kind === 'connecting' ? start(state, event, times) : stay(state)
    case 'failed':
      return state.kind === 'waiting' ? stay(state) : wait(state, event.fault, event.jitter)
    case 'timer':
      return onTimer(state, event.timer, event.jitter, times)
    case 'paused':
    case 'resumed':
      return stay({ ...state, paused: event.type === 'paused' })
    case 'confirmed':
      return confirm(state, event.epoch, event.lsn, times)
    case 'close':
      return { state: { kind: 'closed', progress: state.progress }, effects: [...lastReport(state), ...leave(state, true)] }
    case 'heard':
    case 'begun':
    case 'committed':
    case 'keepalive':
      return state.kind === 'streaming' ? onStream(state, event, times) : stay(state)
  }
}

type StreamEvent = Extract<ReplicationEvent, { type: 'heard' | 'begun' | 'committed' | 'keepalive' }>

function onStream(state: Streaming, event: StreamEvent, times: ReplicationTimes): ReplicationStep {
  switch (event.type) {
    case 'heard':
      // Only a server that talks ends a row of failed attempts: one that drops us after every start must not be asked at full speed.
      return state.unheard === 0 && state.attempt === 0 ? stay(state) : stay({ ...state, unheard: 0, attempt: 0 })
    case 'begun':
      return stay({ ...state, inTransaction: true })
    case 'committed': {
      const progress = event.empty ? moved(state.progress, event.endLsn, times) : handOver(state.progress, event.endLsn)
      return stay({ ...state, progress, inTransaction: false })
    }
    case 'keepalive': {
      // In the middle of a transaction the server may name a position behind it, of which we have not seen the end.
      const progress = state.inTransaction ? state.progress : moved(state.progress, event.end, times)
      return { state: { ...state, progress }, effects: event.replyRequested ? [statusOf(progress, false)] : [] }
    }
  }
}

function handOver(progress: Progress, endLsn: Lsn): Progress {
  return { ...progress, received: laterLsn(progress.received, endLsn), handedOver: laterLsn(progress.handedOver, endLsn) }
}

/** No change up to `lsn`. */
function moved(progress: Progress, lsn: Lsn, times: ReplicationTimes): Progress {
  const received = laterLsn(progress.received, lsn)
  const idle = times.followsIdle && progress.flushed >= progress.handedOver
  return { ...progress, received, flushed: idle ? laterLsn(progress.flushed, received) : progress.flushed }
}

function confirm(state: OpenState, epoch: string, lsn: Lsn, times: ReplicationTimes): ReplicationStep {
  const { progress } = state
  const most = lsn < progress.received ? lsn : progress.received
  if (epoch !== progress.epoch || most <= progress.flushed) return stay(state)
  const isIdle = times.followsIdle && most >= progress.handedOver && !(state.kind === 'streaming' && state.inTransaction)
  const flushed = isIdle ? progress.received : most
  const next = { ...state, progress: { ...progress, flushed } }
  if (next.kind !== 'streaming' || next.reporting) return stay(next)
  return { state: { ...next, reporting: true }, effects: [{ type: 'set-timer', timer: 'report', afterMs: times.reportDelayMs }] }
}

function start(
  state: Connecting,
  { epoch, log, logBegin, confirmedLsn, reason }: Extract<ReplicationEvent, { type: 'attached' }>,
  times: ReplicationTimes,
): ReplicationStep {
  const sameEpoch = state.progress.epoch === epoch
  const goesOn = sameEpoch && confirmedLsn <= state.progress.received
  const sameLog = state.progress.log === log
  const { epoch: previous } = state.progress
  // The slot may begin earlier than what came through the one before, which does not come again.
  const begin = previous === null ? confirmedLsn : laterLsn(confirmedLsn, sameLog ? state.progress.received : logBegin)
  const progress: Progress = goesOn
    ? { ...state.progress, flushed: laterLsn(state.progress.flushed, confirmedLsn) }
    : { epoch, log, received: begin, handedOver: begin, flushed: begin }
  const announce: ReplicationEffect[] = goesOn
    ? []
    : [
        {
          type: 'announce-epoch',
          epoch,
          previous,
          reason: sameEpoch ? 'fell-behind' : reason,
          isOtherLog: previous !== null && !sameLog,
        },
      ]
  return {
    state: { ...state, kind: 'streaming', progress, inTransaction: false, unheard: 0, reporting: false },
    effects: [
      ...announce,
      { type: 'start', from: progress.received },
      { type: 'set-timer', timer: 'status', afterMs: times.statusIntervalMs },
      { type: 'set-timer', timer: 'check', afterMs: times.checkIntervalMs },
      { type: 'set-timer', timer: 'advance', afterMs: times.advanceIntervalMs },
      { type: 'check' },
    ],
  }
}

function onTimer(state: OpenState, timer: ReplicationTimer, jitter: number, times: ReplicationTimes): ReplicationStep {
  if (timer === 'retry') {
    if (state.kind !== 'waiting') return stay(state)
    const { progress, attempt, paused, fault } = state
    return {
      state: { kind: 'connecting', progress, attempt, paused },
      effects: [{ type: 'attach', replaceSlot: fault.kind === 'publication-changed' }],
    }
  }
  if (state.kind !== 'streaming') return stay(state)
  if (timer === 'check')
    return { state, effects: [{ type: 'check' }, { type: 'set-timer', timer: 'check', afterMs: times.checkIntervalMs }] }
  if (timer === 'advance')
    return { state, effects: [{ type: 'advance' }, { type: 'set-timer', timer: 'advance', afterMs: times.advanceIntervalMs }] }
  if (timer === 'report') return { state: { ...state, reporting: false }, effects: [statusOf(state.progress, false)] }
  if (state.unheard >= MAX_UNHEARD && !state.paused)
    return wait(state, { kind: 'silent', message: 'the server has not answered for some time' }, jitter)
  return {
    state: { ...state, unheard: state.paused ? 0 : state.unheard + 1 },
    effects: [statusOf(state.progress, true), { type: 'set-timer', timer: 'status', afterMs: times.statusIntervalMs }],
  }
}

function wait(state: Connecting | Streaming, fault: ReplicationFault, jitter: number): ReplicationStep {
  const attempt = state.attempt + 1
  return {
    state: { kind: 'waiting', progress: state.progress, attempt, paused: state.paused, fault },
    effects: [...leave(state), { type: 'set-timer', timer: 'retry', afterMs: retryDelayMs(fault, attempt, jitter) }],
  }
}

/** What must be undone when a state is left for another connection or for none. */
function leave(state: OpenState, polite = false): ReplicationEffect[] {
  switch (state.kind) {
    case 'connecting':
      return [{ type: 'detach', polite }]
    case 'streaming':
      return [
        { type: 'clear-timer', timer: 'status' },
        { type: 'clear-timer', timer: 'check' },
        { type: 'clear-timer', timer: 'advance' },
        ...(state.reporting ? [{ type: 'clear-timer', timer: 'report' } as const] : []),
        { type: 'detach', polite },
      ]
    case 'waiting':
      return [{ type: 'clear-timer', timer: 'retry' }]
  }
}

function lastReport(state: ReplicationState): ReplicationEffect[] {
  return state.kind === 'streaming' ? [statusOf(state.progress, false)] : []
}

function statusOf(progress: Progress, requestReply: boolean): ReplicationEffect {
  return { type: 'send-status', received: progress.received, flushed: progress.flushed, requestReply }
}

function stay(state: ReplicationState): ReplicationStep {
  return { state, effects: [] }
}
