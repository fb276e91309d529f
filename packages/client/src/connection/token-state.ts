import { go, type Transition } from '@tidewire/protocol'
import { arm, LONGEST_TIMER_MS, type Timer } from '../timer.ts'

/**
 * The user's token as a machine: where it comes from, whether it is awaited, when it is asked for again.
 *
 * With a callback the callback is the source of truth; a token given by hand is overtaken by the callback's next answer.
 * Only the answer to the newest question counts. Every question ends: by an answer, a failure, or the deadline.
 */
export interface TokenState {
  readonly value: string | null
  /** The question on its way; null when nothing waits. */
  readonly asked: number | null
  /** How many questions there were: their ids. */
  readonly count: number
  /** Refreshing by the clock is for a client that is in use. */
  readonly active: boolean
}

export type TokenEvent =
  /** The application sets the token. */
  | { readonly type: 'set'; readonly value: string | null }
  /** Asks again, also when a question is on its way: its answer may be older than what changed. */
  | { readonly type: 'refresh' }
  /** The token is about to be used. */
  | { readonly type: 'need' }
  | { readonly type: 'answered'; readonly id: number; readonly value: string | null }
  | { readonly type: 'failed'; readonly id: number; readonly cause: unknown }
  | { readonly type: 'timer' }
  | { readonly type: 'activate' }
  | { readonly type: 'deactivate' }

export type TokenEffect =
  | { readonly type: 'ask'; readonly id: number }
  | Timer
  | { readonly type: 'changed'; readonly value: string | null }
  /** All waiters go on with the current token. */
  | { readonly type: 'ready' }
  /** There is no callback, and no token that is still valid. */
  | { readonly type: 'unavailable'; readonly cause: unknown }
  /** As `unavailable`, but the token that is known has not expired. */
  | { readonly type: 'stale'; readonly cause: unknown }

export interface TokenOptions {
  readonly hasCallback: boolean
  /** The time of the event. */
  readonly nowMs: number
  /** How long the callback may take. */
  readonly deadlineMs: number
  /** When a token expires, in milliseconds since 1970; null when it does not say. */
  readonly expiresAtMs: (token: string) => number | null
}

type TokenTransition = Transition<TokenState, TokenEffect>

export const noToken: TokenState = { value: null, asked: null, count: 0, active: false }

/** How long before its end a token is replaced: enough for a slow callback and a clock that is a little off. */
const AHEAD_MS = 30_000
/** A callback that answers with the same, nearly expired token is not asked in a tight loop. */
const LEAST_WAIT_MS = 5000

export function tokenTransition(state: TokenState, event: TokenEvent, options: TokenOptions): TokenTransition {
  const { asked, active, value } = state
  const { hasCallback } = options
  switch (event.type) {
    case 'set':
    case 'answered': {
      if (event.type === 'answered' && asked !== event.id) return go(state)
      const next = { ...state, value: event.value, asked: null }
      const ready: TokenEffect = { type: 'ready' }
      return scheduleNext(next, options, value === event.value ? [ready] : [{ type: 'changed', value: event.value }, ready])
    }
    case 'need':
    case 'refresh':
      if (!hasCallback) return go(state, { type: 'ready' })
      return event.type === 'need' && asked !== null ? go(state) : ask(state, options)
    case 'failed':
      return asked === event.id ? fail(state, event.cause, options) : go(state)
    case 'timer':
      if (asked !== null) return fail(state, new Error(`no answer within ${options.deadlineMs} ms`), options)
      return active && hasCallback ? ask(state, options) : go(state)
    case 'activate': {
      const next = { ...state, active: true }
      return active || asked !== null ? go(next) : scheduleNext(next, options, [])
    }
    case 'deactivate': {
      const next = { ...state, asked: null, active: false }
      if (asked === null) return go(next, arm(null))
      return go(next, arm(null), { type: 'unavailable', cause: new Error('The client was disconnected.') })
    }
  }
}

function ask(state: TokenState, options: TokenOptions): TokenTransition {
  const id = state.count + 1
  return go({ ...state, asked: id, count: id }, arm(options.deadlineMs), { type: 'ask', id })
}

function fail(state: TokenState, cause: unknown, options: TokenOptions): TokenTransition {
  const isUsable = state.value !== null && (options.expiresAtMs(state.value) ?? Infinity) > options.nowMs
  const effects: readonly TokenEffect[] = isUsable ? [{ type: 'stale', cause }, { type: 'ready' }] : [{ type: 'unavailable', cause }]
  return scheduleNext({ ...state, asked: null }, options, effects)
}

/** Sets the timer for the next question, if there is to be one. No question may be on its way. */
function scheduleNext(state: TokenState, options: TokenOptions, effects: readonly TokenEffect[]): TokenTransition {
  const expiresAtMs = state.active && options.hasCallback && state.value !== null ? options.expiresAtMs(state.value) : null
  const inMs = expiresAtMs === null ? null : Math.min(LONGEST_TIMER_MS, Math.max(LEAST_WAIT_MS, expiresAtMs - AHEAD_MS - options.nowMs))
  return go(state, arm(inMs), ...effects)
}

/** The `exp` of a JWT in milliseconds, unverified; null for anything that is not a JWT with a numeric `exp`. */
export function expiryOfJwt(token: string): number | null {
  try {
    const claims = JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/'))) as { readonly exp?: unknown }
    return typeof claims.exp === 'number' ? claims.exp * 1000 : null
  } catch {
    return null
  }
}
