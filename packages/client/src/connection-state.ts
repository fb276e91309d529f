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

/** Why a socket is gone. `code` is absent when nothing came from the socket itself. */
export interface Loss {
  readonly code?: number
  readonly reason: string
  readonly wasClean: boolean
  /** Set when trying again would end the same way: there is no WebSocket here, or the server does not take the API key. */
  readonly final?: 'no-transport' | 'unauthorized'
}

export type ConnectionEvent =
  | { readonly type: 'connect' }
  | { readonly type: 'disconnect'; readonly code?: number | undefined; readonly reason?: string | undefined }
  | { readonly type: 'opened' }
  | { readonly type: 'closed'; readonly loss: Loss }
  /** The loss is final. */
  | { readonly type: 'impossible'; readonly loss: Loss }
  /** Any sign that the server answers: a reply to a join, for one. */
  | { readonly type: 'proven' }
  | { readonly type: 'heartbeat-reply'; readonly ref: string }
  | { readonly type: 'timer'; readonly ref: string }
  /** Send a heartbeat now, unless one is on its way. */
  | { readonly type: 'beat'; readonly ref: string }
  /** The page is visible again, the network is back, the clock jumped: find out at once where we stand. */
  | { readonly type: 'wake'; readonly ref: string }
  | { readonly type: 'freeze' }

export type ConnectionEffect =
  | { readonly type: 'open-socket' }
  /** Close in an orderly way and go on listening for the end. */
  | { readonly type: 'close-socket'; readonly code: number | undefined; readonly reason: string | undefined }
  /** Close and forget: whatever it still says is not heard. */
  | { readonly type: 'drop-socket'; readonly reason: string }
  | { readonly type: 'send-heartbeat'; readonly ref: string }
  | { readonly type: 'heartbeat-missed' }
  | { readonly type: 'timer'; readonly afterMs: number | null }
  | { readonly type: 'up' }
  | { readonly type: 'down'; readonly loss: Loss }

export interface ConnectionOptions {
  readonly heartbeatIntervalMs: number
  /** How long a socket may take to open, and how long a probe on waking may stay unanswered. */
  readonly timeoutMs: number
  /** How long a closing socket may take. */
  readonly closeTimeoutMs: number
  readonly retryInMs: (attempt: number) => number
}

export interface ConnectionStep {
  readonly state: ConnectionState
  readonly effects: readonly ConnectionEffect[]
}

export const disconnected: ConnectionState = { kind: 'disconnected' }

const DISCONNECTED: Loss = { code: 1005, reason: '', wasClean: true }
const SILENT: Loss = { reason: 'heartbeat timeout', wasClean: false }
const TOO_SLOW: Loss = { reason: 'the socket did not open in time', wasClean: false }
const FROZEN: Loss = { reason: 'the page was frozen', wasClean: true }
const disarm: ConnectionEffect = { type: 'timer', afterMs: null }

export function connectionStep(state: ConnectionState, event: ConnectionEvent, options: ConnectionOptions): ConnectionStep {
  const { kind } = state
  switch (event.type) {
    case 'connect':
      if (kind === 'connecting' || kind === 'connected') return stay(state)
      if (kind !== 'closing') return open(0, [], options)
      return open(
        0,
        [
          { type: 'drop-socket', reason: '' },
          { type: 'down', loss: DISCONNECTED },
        ],
        options,
      )
    case 'disconnect':
      return disconnect(state, event.code, event.reason, options)
    case 'opened':
      if (state.kind !== 'connecting') return stay(state)
      return {
        state: { kind: 'connected', attempt: state.attempt, heartbeatRef: null },
        effects: [arm(options.heartbeatIntervalMs), { type: 'up' }],
      }
    case 'closed':
      if (kind === 'closing') return { state: disconnected, effects: [disarm, { type: 'down', loss: event.loss }] }
      return kind === 'connecting' || kind === 'connected' ? lose(state, event.loss, [], options) : stay(state)
    case 'impossible':
      if (kind !== 'connecting') return stay(state)
      return { state: disconnected, effects: [disarm, { type: 'down', loss: event.loss }] }
    case 'proven':
      return state.kind === 'connected' ? { state: { ...state, attempt: 0 }, effects: [] } : stay(state)
    case 'heartbeat-reply':
      if (state.kind !== 'connected' || state.heartbeatRef !== event.ref) return stay(state)
      return { state: { kind: 'connected', attempt: 0, heartbeatRef: null }, effects: [arm(options.heartbeatIntervalMs)] }
    case 'timer':
      return onTimer(state, event.ref, options)
    case 'beat':
      return state.kind === 'connected' && state.heartbeatRef === null ? beat(state, event.ref, options.heartbeatIntervalMs) : stay(state)
    case 'wake':
      if (state.kind === 'waiting') return open(state.attempt, [], options)
      if (state.kind === 'suspended') return open(0, [], options)
      if (state.kind !== 'connected') return stay(state)
      return beat(state, event.ref, Math.min(options.timeoutMs, options.heartbeatIntervalMs))
    case 'freeze':
      return freeze(state)
  }
}

function onTimer(state: ConnectionState, ref: string, options: ConnectionOptions): ConnectionStep {
  switch (state.kind) {
    case 'connecting':
      return lose(state, TOO_SLOW, [{ type: 'drop-socket', reason: TOO_SLOW.reason }], options)
    case 'connected':
      if (state.heartbeatRef === null) return beat(state, ref, options.heartbeatIntervalMs)
      // An unanswered heartbeat means that the socket is dead, even if it still takes bytes.
      return lose(state, SILENT, [{ type: 'heartbeat-missed' }, { type: 'drop-socket', reason: SILENT.reason }], options)
    case 'waiting':
      return open(state.attempt, [], options)
    case 'closing':
      return { state: disconnected, effects: [disarm, { type: 'drop-socket', reason: '' }, { type: 'down', loss: DISCONNECTED }] }
    default:
      return stay(state)
  }
}

function beat(state: Extract<ConnectionState, { kind: 'connected' }>, ref: string, withinMs: number): ConnectionStep {
  return { state: { ...state, heartbeatRef: ref }, effects: [arm(withinMs), { type: 'send-heartbeat', ref }] }
}

function open(attempt: number, before: readonly ConnectionEffect[], options: ConnectionOptions): ConnectionStep {
  return { state: { kind: 'connecting', attempt }, effects: [...before, arm(options.timeoutMs), { type: 'open-socket' }] }
}

function lose(
  state: Extract<ConnectionState, { attempt: number }>,
  loss: Loss,
  before: readonly ConnectionEffect[],
  options: ConnectionOptions,
): ConnectionStep {
  const attempt = state.attempt + 1
  const retryInMs = options.retryInMs(attempt)
  return {
    state: { kind: 'waiting', attempt, retryInMs, cause: loss },
    effects: [...before, arm(retryInMs), { type: 'down', loss }],
  }
}

function disconnect(
  state: ConnectionState,
  code: number | undefined,
  reason: string | undefined,
  options: ConnectionOptions,
): ConnectionStep {
  switch (state.kind) {
    case 'connected':
      return { state: { kind: 'closing' }, effects: [arm(options.closeTimeoutMs), { type: 'close-socket', code, reason }] }
    case 'connecting':
      return { state: disconnected, effects: [disarm, { type: 'drop-socket', reason: '' }, { type: 'down', loss: DISCONNECTED }] }
    case 'waiting':
      return { state: disconnected, effects: [disarm] }
    case 'suspended':
      return { state: disconnected, effects: [] }
    default:
      return stay(state)
  }
}

function freeze(state: ConnectionState): ConnectionStep {
  switch (state.kind) {
    case 'connecting':
    case 'connected':
      return {
        state: { kind: 'suspended' },
        effects: [disarm, { type: 'drop-socket', reason: FROZEN.reason }, { type: 'down', loss: FROZEN }],
      }
    case 'closing':
      return { state: disconnected, effects: [disarm, { type: 'drop-socket', reason: '' }, { type: 'down', loss: DISCONNECTED }] }
    case 'waiting':
      return { state: { kind: 'suspended' }, effects: [disarm] }
    default:
      return stay(state)
  }
}

function arm(afterMs: number): ConnectionEffect {
  return { type: 'timer', afterMs }
}

function stay(state: ConnectionState): ConnectionStep {
  return { state, effects: [] }
}
