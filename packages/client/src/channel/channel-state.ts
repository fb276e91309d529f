import { go, type RealtimeError, type Transition } from '@tidewire/protocol'
import { arm, type Timer } from '../timer.ts'

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
  | { readonly type: 'down'; readonly error: RealtimeError }
  | { readonly type: 'authorized'; readonly ref: string }
  | { readonly type: 'accepted'; readonly ref: string }
  /** There is no token for the join, or the server refused it. */
  | { readonly type: 'refused'; readonly ref: string; readonly error: RealtimeError }
  /** The server ended the channel, but a new join may succeed. */
  | { readonly type: 'crashed'; readonly error: RealtimeError }
  /** The server closed the channel for good. */
  | { readonly type: 'closed' }
  | { readonly type: 'timer'; readonly isUp: boolean; readonly ref: string }
  /** There is a new token: a join that was refused for good may succeed now. */
  | { readonly type: 'token-changed'; readonly isUp: boolean; readonly ref: string }
  | { readonly type: 'leave' }

/**
 * The status that `subscribe` reports. SUBSCRIBED: joined. TIMED_OUT: no reply in time, and tried again. CHANNEL_ERROR: refused or lost,
 * and tried again where `error.retryable` says so. CLOSED: left, or closed by the server.
 */
export type SubscribeStatus = 'SUBSCRIBED' | 'TIMED_OUT' | 'CLOSED' | 'CHANNEL_ERROR'

export type ChannelEffect =
  /** Ask for the token; answer with `authorized` or `refused` and this ref. */
  | { readonly type: 'authorize'; readonly ref: string }
  | { readonly type: 'send-join'; readonly ref: string }
  | { readonly type: 'send-leave'; readonly joinRef: string }
  | Timer
  /** Pushes that were sent under the last join get no reply any more. */
  | { readonly type: 'lost' }
  /** As `lost`, and pushes that wait to be sent are never sent. */
  | { readonly type: 'removed' }
  | { readonly type: 'status'; readonly status: SubscribeStatus; readonly error?: RealtimeError }

export interface ChannelOptions {
  /** As the last `subscribe` wanted it. */
  joinTimeoutMs: number
  readonly retryInMs: (attempt: number) => number
}

type ChannelTransition = Transition<ChannelState, ChannelEffect>

export const closed: ChannelState = { kind: 'closed' }

/** The moment of an event: whether there is a socket, and the ref for a join that starts now. */
interface Now {
  readonly isUp: boolean
  readonly ref: string
}

export function channelTransition(state: ChannelState, event: ChannelEvent, options: ChannelOptions): ChannelTransition {
  const { kind } = state
  const waits = kind === 'errored' && state.retryInMs === null
  switch (event.type) {
    case 'subscribe':
      return kind === 'closed' || waits ? join(state, event, options) : go(state)
    case 'token-changed':
      return waits && event.isUp ? join(state, event, options) : go(state)
    case 'up':
      if (kind === 'errored' || (kind === 'joining' && state.phase === 'socket'))
        return join(state, { isUp: true, ref: event.ref }, options)
      return go(state)
    case 'down':
      // A channel that is already errored has said so; what ends is its retry by the clock.
      if (kind === 'errored') return go({ ...state, retryInMs: null }, arm(null))
      return kind === 'closed' ? go(state) : fail(state, event.error, null)
    case 'authorized':
      if (!isAt(state, 'token', event.ref)) return go(state)
      return go({ ...state, phase: 'reply' }, arm(options.joinTimeoutMs), { type: 'send-join', ref: event.ref })
    case 'accepted':
      if (!isAt(state, 'reply', event.ref)) return go(state)
      return go({ kind: 'joined', joinRef: event.ref }, arm(null), { type: 'status', status: 'SUBSCRIBED' })
    case 'refused':
      if (!isAt(state, 'token', event.ref) && !isAt(state, 'reply', event.ref)) return go(state)
      return fail(state, event.error, event.error.retryable ? options : null)
    case 'crashed':
      return kind === 'joined' || kind === 'joining' ? fail(state, event.error, options) : go(state)
    case 'closed':
    case 'leave':
      if (kind === 'closed') return go(state)
      return go(
        closed,
        arm(null),
        ...(event.type === 'leave' ? leave(state) : []),
        { type: 'removed' },
        { type: 'status', status: 'CLOSED' },
      )
    case 'timer':
      if (kind === 'errored') return event.isUp ? join(state, event, options) : go({ ...state, retryInMs: null })
      return kind === 'joining' ? fail(state, null, event.isUp ? options : null) : go(state)
  }
}

function join(state: ChannelState, { isUp, ref }: Now, options: ChannelOptions): ChannelTransition {
  const attempt = attemptOf(state)
  if (!isUp) return go({ kind: 'joining', phase: 'socket', attempt }, arm(options.joinTimeoutMs))
  return go({ kind: 'joining', phase: 'token', joinRef: ref, attempt }, arm(null), { type: 'authorize', ref })
}

/** Ends a join. `error` is `null` when it timed out, which sends a leave. With `options` it is tried again after a time. */
function fail(state: ChannelState, error: RealtimeError | null, options: ChannelOptions | null): ChannelTransition {
  const attempt = attemptOf(state) + 1
  const retryInMs = options === null ? null : options.retryInMs(attempt)
  return go(
    { kind: 'errored', attempt, retryInMs },
    ...(error === null ? leave(state) : []),
    arm(retryInMs),
    { type: 'lost' },
    error === null ? { type: 'status', status: 'TIMED_OUT' } : { type: 'status', status: 'CHANNEL_ERROR', error },
  )
}

function leave(state: ChannelState): readonly ChannelEffect[] {
  const isKnown = state.kind === 'joined' || (state.kind === 'joining' && state.phase === 'reply')
  return isKnown ? [{ type: 'send-leave', joinRef: state.joinRef }] : []
}

/** How many attempts failed before this one. */
function attemptOf(state: ChannelState): number {
  return 'attempt' in state ? state.attempt : 0
}

function isAt(state: ChannelState, phase: 'token' | 'reply', ref: string): state is Extract<ChannelState, { phase: 'token' | 'reply' }> {
  return state.kind === 'joining' && state.phase === phase && state.joinRef === ref
}
