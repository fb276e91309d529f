import { isFinal, type Loss } from './loss.ts'
import { go, type Transition } from '@tidewire/protocol'
import { arm, type Timer } from '../timer.ts'

/**
 * The client's connection as a machine. Knows nothing of sockets or clocks.
 *
 *   disconnected ──connect──► connecting ──opened──► connected
 *        ▲                     ▲      │                  │
 *        │                     │    closed      closed / silent heartbeat
 *     closed               timer, wake └──► waiting ◄────┘
 *        │                                    │
 *     closing ◄──disconnect── connected    suspended ◄──freeze── any with a socket or a timer
 *
 * There is one timer. Every state but `disconnected` and `suspended` has it armed; those two never do.
 */
export type ConnectionState =
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'connecting'; readonly attempt: number }
  /** `attempt` falls to 0 only when the server has answered: a server that accepts and hangs up is still backed off from. */
  | { readonly kind: 'connected'; readonly attempt: number; readonly heartbeatRef: string | null }
  | { readonly kind: 'waiting'; readonly attempt: number; readonly retryInMs: number; readonly cause: Loss }
  | { readonly kind: 'closing' }
  /** The page is frozen (back/forward cache): no socket, no timer, until it wakes. */
  | { readonly kind: 'suspended' }

export type ConnectionEvent =
  | { readonly type: 'connect' }
  | { readonly type: 'disconnect'; readonly code?: number | undefined; readonly reason?: string | undefined }
  | { readonly type: 'opened' }
  /** The socket is gone or cannot be made. A loss that is final ends the attempts. */
  | { readonly type: 'closed'; readonly loss: Loss }
  /** The server answered, a join for example. */
  | { readonly type: 'proven' }
  | { readonly type: 'heartbeat-reply'; readonly ref: string }
  | { readonly type: 'timer'; readonly ref: string }
  /** Send a heartbeat now, unless one is on its way. */
  | { readonly type: 'beat'; readonly ref: string }
  /** The page is visible again, the network is back or the clock jumped: probe the connection at once. */
  | { readonly type: 'wake'; readonly ref: string }
  | { readonly type: 'freeze' }

export type ConnectionEffect =
  | { readonly type: 'open-socket' }
  /** Close in an orderly way and go on listening for the end. */
  | { readonly type: 'close-socket'; readonly code: number | undefined; readonly reason: string | undefined }
  /** Close, and ignore its further events. */
  | { readonly type: 'drop-socket'; readonly reason: string }
  | { readonly type: 'send-heartbeat'; readonly ref: string }
  | { readonly type: 'heartbeat-missed' }
  | Timer
  | { readonly type: 'up' }
  | { readonly type: 'down'; readonly loss: Loss }

export interface ConnectionOptions {
  readonly heartbeatIntervalMs: number
  /** How long a socket may take to open, and a heartbeat may stay unanswered, unless the interval is shorter. */
  readonly timeoutMs: number
  /** How long a closing socket may take. */
  readonly closeTimeoutMs: number
  readonly retryInMs: (attempt: number) => number
}

type Connected = Extract<ConnectionState, { kind: 'connected' }>
type ConnectionTransition = Transition<ConnectionState, ConnectionEffect>

export const disconnected: ConnectionState = { kind: 'disconnected' }

const DISCONNECTED: Loss = { code: 1005, reason: '', wasClean: true }
const SILENT: Loss = { reason: 'heartbeat timeout', wasClean: false }
const TOO_SLOW: Loss = { reason: 'the socket did not open in time', wasClean: false }
const FROZEN: Loss = { reason: 'the page was frozen', wasClean: true }

export function connectionTransition(state: ConnectionState, event: ConnectionEvent, options: ConnectionOptions): ConnectionTransition {
  const { kind } = state
  const isOpening = kind === 'connecting'
  switch (event.type) {
    case 'connect':
      if (isOpening || kind === 'connected') return go(state)
      return open(0, options, kind === 'closing' ? [drop(DISCONNECTED), down(DISCONNECTED)] : [])
    case 'opened':
      if (!isOpening) return go(state)
      return go({ kind: 'connected', attempt: state.attempt, heartbeatRef: null }, arm(options.heartbeatIntervalMs), { type: 'up' })
    case 'closed':
      if (kind === 'closing' || (isOpening && isFinal(event.loss))) return go(disconnected, arm(null), down(event.loss))
      return isOpening || kind === 'connected' ? lose(state, event.loss, options) : go(state)
    case 'disconnect':
      if (kind === 'closing') return go(state)
      if (kind !== 'connected') return end(state, disconnected, DISCONNECTED)
      return go({ kind: 'closing' }, arm(options.closeTimeoutMs), { type: 'close-socket', code: event.code, reason: event.reason })
    case 'freeze':
      if (kind === 'disconnected' || kind === 'suspended') return go(state)
      return kind === 'closing' ? end(state, disconnected, DISCONNECTED) : end(state, { kind: 'suspended' }, FROZEN)
    case 'timer':
      return onTimer(state, event.ref, options)
    case 'wake':
      if (kind === 'waiting') return open(state.attempt, options)
      if (kind === 'suspended') return open(0, options)
      return kind === 'connected' ? beat(state, event.ref, options) : go(state)
    case 'beat':
      return kind === 'connected' && state.heartbeatRef === null ? beat(state, event.ref, options) : go(state)
    case 'proven':
      return kind === 'connected' ? go({ ...state, attempt: 0 }) : go(state)
    case 'heartbeat-reply':
      if (kind !== 'connected' || state.heartbeatRef !== event.ref) return go(state)
      return go({ kind, attempt: 0, heartbeatRef: null }, arm(options.heartbeatIntervalMs))
  }
}

function onTimer(state: ConnectionState, ref: string, options: ConnectionOptions): ConnectionTransition {
  switch (state.kind) {
    case 'connecting':
      return lose(state, TOO_SLOW, options, [drop(TOO_SLOW)])
    case 'connected':
      if (state.heartbeatRef === null) return beat(state, ref, options)
      // An unanswered heartbeat means that the socket is dead, even if it still takes bytes.
      return lose(state, SILENT, options, [{ type: 'heartbeat-missed' }, drop(SILENT)])
    case 'waiting':
      return open(state.attempt, options)
    case 'closing':
      return end(state, disconnected, DISCONNECTED)
    default:
      return go(state)
  }
}

/** A dead socket is found at most an interval and this wait after it died; a shorter interval finds it sooner. */
function beat(state: Connected, ref: string, { timeoutMs, heartbeatIntervalMs }: ConnectionOptions): ConnectionTransition {
  return go({ ...state, heartbeatRef: ref }, arm(Math.min(timeoutMs, heartbeatIntervalMs)), { type: 'send-heartbeat', ref })
}

function open(attempt: number, options: ConnectionOptions, before: readonly ConnectionEffect[] = []): ConnectionTransition {
  return go({ kind: 'connecting', attempt }, ...before, arm(options.timeoutMs), { type: 'open-socket' })
}

function lose(
  { attempt: failed }: { readonly attempt: number },
  cause: Loss,
  options: ConnectionOptions,
  before: readonly ConnectionEffect[] = [],
): ConnectionTransition {
  const attempt = failed + 1
  const retryInMs = options.retryInMs(attempt)
  return go({ kind: 'waiting', attempt, retryInMs, cause }, ...before, arm(retryInMs), down(cause))
}

/** No timer any more, and no socket if there was one. */
function end({ kind }: ConnectionState, state: ConnectionState, loss: Loss): ConnectionTransition {
  if (kind === 'disconnected' || kind === 'suspended') return go(state)
  return kind === 'waiting' ? go(state, arm(null)) : go(state, arm(null), drop(loss), down(loss))
}

function drop({ reason }: Loss): ConnectionEffect {
  return { type: 'drop-socket', reason }
}

function down(loss: Loss): ConnectionEffect {
  return { type: 'down', loss }
}
