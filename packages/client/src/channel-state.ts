import type { RealtimeError } from '@tidewire/protocol'

/**
 * One membership of one topic as a machine.
 *
 *   closed ──subscribe──► joining ──reply ok──► joined
 *     ▲                   ▲     │                  │
 *     │        socket up, timer └─ refused, late, lost ─► errored ◄── crashed, lost
 *     └──leave, server close── any
 *
 * A join goes through three phases: it waits for the socket, then for the user's token, then for the reply. The ref of
 * a join is made when it starts to wait for the token, so that an answer for an older join is known as such.
 *
 * There is one timer: armed while joining (except in phase `token`, whose wait the token's own deadline ends) and while
 * errored with a retry ahead; never in `closed` and `joined`.
 */
export type ChannelState =
  | { readonly kind: 'closed' }
  | { readonly kind: 'joining'; readonly phase: 'socket'; readonly attempt: number }
  | { readonly kind: 'joining'; readonly phase: 'token' | 'reply'; readonly joinRef: string; readonly attempt: number }
  | { readonly kind: 'joined'; readonly joinRef: string }
  /** `retryInMs` is null when the next socket (or a new token) brings the retry, not the clock. */
  | { readonly kind: 'errored'; readonly attempt: number; readonly retryInMs: number | null }

export type ChannelEvent =
  | { readonly type: 'subscribe'; readonly isUp: boolean; readonly ref: string }
  | { readonly type: 'up'; readonly ref: string }
  | { readonly type: 'down'; readonly error: Error }
  | { readonly type: 'authorized'; readonly ref: string }
  | { readonly type: 'unauthorized'; readonly ref: string; readonly error: RealtimeError }
  | { readonly type: 'accepted'; readonly ref: string }
  | { readonly type: 'refused'; readonly ref: string; readonly error: RealtimeError }
  /** The server let go of the channel, but a new join may well succeed. */
  | { readonly type: 'crashed'; readonly error: Error }
  /** The server closed the channel for good. */
  | { readonly type: 'closed' }
  | { readonly type: 'timer'; readonly isUp: boolean; readonly ref: string }
  /** There is a new token: what was refused for good may be let in now. */
  | { readonly type: 'token-changed'; readonly isUp: boolean; readonly ref: string }
  | { readonly type: 'leave' }

export type SubscribeStatus = 'SUBSCRIBED' | 'TIMED_OUT' | 'CLOSED' | 'CHANNEL_ERROR'

export type ChannelEffect =
  /** Ask for the token; answer with `authorized` or `unauthorized` and this ref. */
  | { readonly type: 'authorize'; readonly ref: string }
  | { readonly type: 'send-join'; readonly ref: string }
  | { readonly type: 'send-leave'; readonly joinRef: string }
  | { readonly type: 'timer'; readonly afterMs: number | null }
  /** What was sent under the last join gets no reply any more. */
  | { readonly type: 'lost' }
  /** As `lost`, and what waits to be sent is never sent. */
  | { readonly type: 'removed' }
  | { readonly type: 'status'; readonly status: SubscribeStatus; readonly error?: Error }

export interface ChannelOptions {
  /** As the last `subscribe` wanted it. */
  joinTimeoutMs: number
  readonly retryInMs: (attempt: number) => number
}

export interface ChannelStep {
  readonly state: ChannelState
  readonly effects: readonly ChannelEffect[]
}

export const closed: ChannelState = { kind: 'closed' }

const disarm: ChannelEffect = { type: 'timer', afterMs: null }

export function channelStep(state: ChannelState, event: ChannelEvent, options: ChannelOptions): ChannelStep {
  switch (event.type) {
    case 'subscribe':
      if (state.kind === 'closed') return join(0, event, options)
      return state.kind === 'errored' && state.retryInMs === null ? join(state.attempt, event, options) : stay(state)
    case 'up':
      if (state.kind === 'errored' || (state.kind === 'joining' && state.phase === 'socket'))
        return join(state.attempt, { isUp: true, ref: event.ref }, options)
      return stay(state)
    case 'down':
      // A channel that is already errored has said so; what ends is its retry by the clock.
      if (state.kind === 'errored') return { state: { ...state, retryInMs: null }, effects: [disarm] }
      return state.kind === 'closed' ? stay(state) : fail(attemptOf(state), null, event.error)
    case 'authorized':
      if (!isAt(state, 'token', event.ref)) return stay(state)
      return {
        state: { ...state, phase: 'reply' },
        effects: [
          { type: 'timer', afterMs: options.joinTimeoutMs },
          { type: 'send-join', ref: event.ref },
        ],
      }
    case 'unauthorized':
      return isAt(state, 'token', event.ref) ? failAndRetry(state, event.error, options) : stay(state)
    case 'accepted':
      if (!isAt(state, 'reply', event.ref)) return stay(state)
      return { state: { kind: 'joined', joinRef: event.ref }, effects: [disarm, { type: 'status', status: 'SUBSCRIBED' }] }
    case 'refused':
      if (!isAt(state, 'reply', event.ref)) return stay(state)
      return event.error.retryable ? failAndRetry(state, event.error, options) : fail(attemptOf(state), null, event.error)
    case 'crashed':
      return state.kind === 'joined' || state.kind === 'joining' ? failAndRetry(state, event.error, options) : stay(state)
    case 'closed':
      return close(state, false)
    case 'leave':
      return close(state, true)
    case 'timer':
      return onTimer(state, event, options)
    case 'token-changed':
      return state.kind === 'errored' && state.retryInMs === null && event.isUp ? join(state.attempt, event, options) : stay(state)
  }
}

function onTimer(state: ChannelState, event: { readonly isUp: boolean; readonly ref: string }, options: ChannelOptions): ChannelStep {
  if (state.kind === 'errored') return event.isUp ? join(state.attempt, event, options) : stay({ ...state, retryInMs: null })
  if (state.kind !== 'joining') return stay(state)
  const attempt = state.attempt + 1
  const retryInMs = event.isUp ? options.retryInMs(attempt) : null
  const leave: readonly ChannelEffect[] = state.phase === 'reply' ? [{ type: 'send-leave', joinRef: state.joinRef }] : []
  return {
    state: { kind: 'errored', attempt, retryInMs },
    effects: [...leave, { type: 'timer', afterMs: retryInMs }, { type: 'lost' }, { type: 'status', status: 'TIMED_OUT' }],
  }
}

function join(attempt: number, { isUp, ref }: { readonly isUp: boolean; readonly ref: string }, options: ChannelOptions): ChannelStep {
  if (!isUp) return { state: { kind: 'joining', phase: 'socket', attempt }, effects: [{ type: 'timer', afterMs: options.joinTimeoutMs }] }
  return { state: { kind: 'joining', phase: 'token', joinRef: ref, attempt }, effects: [disarm, { type: 'authorize', ref }] }
}

function failAndRetry(state: ChannelState, error: Error, options: ChannelOptions): ChannelStep {
  return fail(attemptOf(state), options.retryInMs(attemptOf(state)), error)
}

function fail(attempt: number, retryInMs: number | null, error: Error): ChannelStep {
  return {
    state: { kind: 'errored', attempt, retryInMs },
    effects: [{ type: 'timer', afterMs: retryInMs }, { type: 'lost' }, { type: 'status', status: 'CHANNEL_ERROR', error }],
  }
}

function close(state: ChannelState, tellServer: boolean): ChannelStep {
  if (state.kind === 'closed') return stay(state)
  const joinRef = state.kind === 'joined' || (state.kind === 'joining' && state.phase === 'reply') ? state.joinRef : null
  const leave: readonly ChannelEffect[] = tellServer && joinRef !== null ? [{ type: 'send-leave', joinRef }] : []
  return { state: closed, effects: [disarm, ...leave, { type: 'removed' }, { type: 'status', status: 'CLOSED' }] }
}

/** The number of the attempt that a failure in this state counts as. */
function attemptOf(state: ChannelState): number {
  return state.kind === 'joining' || state.kind === 'errored' ? state.attempt + 1 : 1
}

function isAt(state: ChannelState, phase: 'token' | 'reply', ref: string): state is Extract<ChannelState, { phase: 'token' | 'reply' }> {
  return state.kind === 'joining' && state.phase === phase && state.joinRef === ref
}

function stay(state: ChannelState): ChannelStep {
  return { state, effects: [] }
}
