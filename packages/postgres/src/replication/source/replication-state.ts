/**
 * The connection to the feed as a machine. Knows nothing of sockets or clocks.
 *
 *   connecting ──attached──► streaming ──failed / silent──► waiting ──retry──► connecting
 *       └──────────failed─────────────────────────────────────▲
 *
 * Two positions are kept apart: what was *received* and what is *flushed*, which is what the consumer confirmed. Only the
 * latter is ever reported to Postgres as done, so that after a crash nothing is missing. The consumer also confirms what
 * brought no change.
 *
 * A new connection starts behind what was received. If its slot begins later than that, changes are missing: the epoch is
 * announced again, with the reason `fell-behind`.
 */
import { go, type Transition } from '@tidewire/protocol'
import { laterLsn, type Lsn } from '../lsn.ts'
import { retryDelayMs, type ReplicationFault } from '../replication-fault.ts'
import type { ChangeSourceStatus, ChangeSourceTuning } from './change-source-api.ts'
import type {
  Connecting,
  OpenState,
  Progress,
  ReplicationEffect,
  ReplicationEvent,
  ReplicationState,
  ReplicationTimer,
  Streaming,
} from './replication-machine.ts'

export type ReplicationTimes = Required<Omit<ChangeSourceTuning, 'maxBatchChanges'>>

type ReplicationTransition = Transition<ReplicationState, ReplicationEffect>

/** So many status messages without a word from the server, and the connection counts as dead. */
const MAX_UNHEARD = 3

export const CONNECTING: ReplicationState = {
  kind: 'connecting',
  progress: { epoch: null, log: null, received: 0n, flushed: 0n },
  attempt: 0,
  paused: false,
}

export function statusOf(state: ReplicationState): ChangeSourceStatus {
  return state.kind === 'waiting' ? { kind: 'waiting', fault: state.fault } : { kind: state.kind }
}

export function replicationTransition(state: ReplicationState, event: ReplicationEvent, times: ReplicationTimes): ReplicationTransition {
  if (state.kind === 'closed') return go(state)
  switch (event.type) {
    case 'attached':
      return state.kind === 'connecting' ? start(state, event, times) : go(state)
    case 'failed':
      return state.kind === 'waiting' ? go(state) : wait(state, event.fault, event.jitter)
    case 'timer':
      return onTimer(state, event.timer, event.jitter, times)
    case 'paused':
    case 'resumed':
      return go({ ...state, paused: event.type === 'paused' })
    case 'confirmed':
      return confirm(state, event.epoch, event.lsn, times.reportDelayMs)
    case 'close':
      return enter(
        { kind: 'closed', progress: state.progress },
        ...(state.kind === 'streaming' ? [standbyStatus(state.progress, false)] : []),
        ...leave(state, true),
      )
    case 'heard':
    case 'begun':
    case 'committed':
    case 'keepalive':
      return state.kind === 'streaming' ? onStream(state, event) : go(state)
  }
}

type StreamEvent = Extract<ReplicationEvent, { type: 'heard' | 'begun' | 'committed' | 'keepalive' }>

function onStream(state: Streaming, event: StreamEvent): ReplicationTransition {
  switch (event.type) {
    case 'heard':
      // Only a server that talks ends a row of failed attempts: one that ends the connection after every start must not be asked at full speed.
      return state.unheard === 0 && state.attempt === 0 ? go(state) : go({ ...state, unheard: 0, attempt: 0 })
    case 'begun':
      return go({ ...state, inTransaction: true })
    case 'committed':
      return go({ ...state, progress: moved(state.progress, event.endLsn), inTransaction: false })
    case 'keepalive': {
      // In the middle of a transaction the server may name a position behind it, of which we have not seen the end.
      const progress = state.inTransaction ? state.progress : moved(state.progress, event.end)
      return go({ ...state, progress }, ...(event.replyRequested ? [standbyStatus(progress, false)] : []))
    }
  }
}

function moved(progress: Progress, lsn: Lsn): Progress {
  return { ...progress, received: laterLsn(progress.received, lsn) }
}

function confirm(state: OpenState, epoch: string, lsn: Lsn, reportDelayMs: number): ReplicationTransition {
  const { progress } = state
  const flushed = lsn < progress.received ? lsn : progress.received
  if (epoch !== progress.epoch || flushed <= progress.flushed) return go(state)
  const next = { ...state, progress: { ...progress, flushed } }
  if (next.kind !== 'streaming' || next.reporting) return go(next)
  return go({ ...next, reporting: true }, { type: 'set-timer', timer: 'report', afterMs: reportDelayMs })
}

function start(
  state: Connecting,
  { epoch, log, logBegin, confirmedLsn, reason }: Extract<ReplicationEvent, { type: 'attached' }>,
  times: ReplicationTimes,
): ReplicationTransition {
  const sameEpoch = state.progress.epoch === epoch
  const goesOn = sameEpoch && confirmedLsn <= state.progress.received
  const sameLog = state.progress.log === log
  const { epoch: previous } = state.progress
  // The slot may begin before the end of what the old slot sent. That is not asked for again.
  const begin = previous === null ? confirmedLsn : laterLsn(confirmedLsn, sameLog ? state.progress.received : logBegin)
  const progress: Progress = goesOn
    ? { ...state.progress, flushed: laterLsn(state.progress.flushed, confirmedLsn) }
    : { epoch, log, received: begin, flushed: begin }
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
  return enter(
    { ...state, kind: 'streaming', progress, inTransaction: false, unheard: 0, reporting: false },
    ...announce,
    { type: 'start', from: progress.received },
    { type: 'set-timer', timer: 'status', afterMs: times.statusIntervalMs },
    { type: 'set-timer', timer: 'nudge', afterMs: times.nudgeIntervalMs },
    { type: 'set-timer', timer: 'check', afterMs: times.checkIntervalMs },
    { type: 'set-timer', timer: 'advance', afterMs: times.advanceIntervalMs },
    { type: 'check' },
  )
}

function onTimer(state: OpenState, timer: ReplicationTimer, jitter: number, times: ReplicationTimes): ReplicationTransition {
  if (timer === 'retry') {
    if (state.kind !== 'waiting') return go(state)
    const { progress, attempt, paused, fault } = state
    return enter({ kind: 'connecting', progress, attempt, paused }, { type: 'attach', replaceSlot: fault.kind === 'publication-changed' })
  }
  if (state.kind !== 'streaming') return go(state)
  if (timer === 'check') return go(state, { type: 'check' }, { type: 'set-timer', timer, afterMs: times.checkIntervalMs })
  if (timer === 'advance') return go(state, { type: 'advance' }, { type: 'set-timer', timer, afterMs: times.advanceIntervalMs })
  // Postgres misses log that is written just as its sender goes to sleep. Any message makes the sender check again.
  if (timer === 'nudge')
    return go(state, standbyStatus(state.progress, false), { type: 'set-timer', timer, afterMs: times.nudgeIntervalMs })
  if (timer === 'report') return go({ ...state, reporting: false }, standbyStatus(state.progress, false))
  if (state.unheard >= MAX_UNHEARD && !state.paused)
    return wait(state, { kind: 'silent', message: 'the server has not answered for some time' }, jitter)
  return go({ ...state, unheard: state.paused ? 0 : state.unheard + 1 }, standbyStatus(state.progress, true), {
    type: 'set-timer',
    timer,
    afterMs: times.statusIntervalMs,
  })
}

function wait(state: Connecting | Streaming, fault: ReplicationFault, jitter: number): ReplicationTransition {
  const attempt = state.attempt + 1
  return enter({ kind: 'waiting', progress: state.progress, attempt, paused: state.paused, fault }, ...leave(state), {
    type: 'set-timer',
    timer: 'retry',
    afterMs: retryDelayMs(fault, attempt, jitter),
  })
}

/** The consumer is notified of a new kind of state after all other effects. */
function enter(state: ReplicationState, ...effects: readonly ReplicationEffect[]): ReplicationTransition {
  return go(state, ...effects, { type: 'announce-status', status: statusOf(state) })
}

/** Effects that end the old state's connection and timers, for another connection or for none. */
function leave(state: OpenState, polite = false): ReplicationEffect[] {
  switch (state.kind) {
    case 'connecting':
      return [{ type: 'detach', polite }]
    case 'streaming':
      return [
        { type: 'clear-timer', timer: 'status' },
        { type: 'clear-timer', timer: 'nudge' },
        { type: 'clear-timer', timer: 'check' },
        { type: 'clear-timer', timer: 'advance' },
        ...(state.reporting ? [{ type: 'clear-timer', timer: 'report' } as const] : []),
        { type: 'detach', polite },
      ]
    case 'waiting':
      return [{ type: 'clear-timer', timer: 'retry' }]
  }
}

function standbyStatus(progress: Progress, requestReply: boolean): ReplicationEffect {
  return { type: 'send-status', received: progress.received, flushed: progress.flushed, requestReply }
}
