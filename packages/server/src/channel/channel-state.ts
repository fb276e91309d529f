import type { DecisionCode } from '../decision-code.ts'
import type { Admission } from '../auth/admission.ts'
import { explained, refusalOf, type Refusal } from '../auth/refusal.ts'
import type { ChangesFault, Transition } from '@tidewire/protocol'
import type { Authorization, Identity, JoinPosition, StoredMessage } from '../ports.ts'
import type { Reads } from '../topic/subscriber.ts'

/** Whether the channel may send broadcasts and presence; unknown until its first push. */
export type Writes = (Reads & { readonly refusal?: Refusal }) | 'asking' | null

/**
 * One socket in one topic, from its join to its close.
 *
 *   verifying ──► authorizing ──► attaching ──► replaying ──► subscribing ──► joined ──► closed
 *       └──────────────┴──────────────┴─────────────┴──── refused ─┴──────────────────────▲
 *
 * Public channels skip authorizing. In a cluster, attaching waits for the relay, at most a second. Replaying and
 * subscribing (to row changes, before the reply) are only for joins that ask for it. While joined, a new token runs through
 * the same checks beside the traffic (`renewing`), and the newest one wins.
 */
export type ChannelState =
  | { readonly kind: 'verifying' }
  | { readonly kind: 'authorizing'; readonly admission: Admission }
  | { readonly kind: 'attaching'; readonly admission: Admission; readonly reads: Reads }
  | { readonly kind: 'replaying'; readonly admission: Admission; readonly reads: Reads }
  | { readonly kind: 'subscribing'; readonly admission: Admission; readonly reads: Reads; readonly replay: readonly StoredMessage[] }
  | {
      readonly kind: 'joined'
      readonly admission: Admission
      readonly reads: Reads
      readonly writes: Writes
      /** The token being checked, or null. */
      readonly renewing: string | null
    }
  | { readonly kind: 'closed' }

export type ChannelEvent =
  | { readonly type: 'admitted'; readonly admission: Admission }
  | {
      readonly type: 'token-refused'
      readonly token: string
      readonly code: DecisionCode
      readonly joinReason: string
      readonly message: string
    }
  | { readonly type: 'read-decided'; readonly admission: Admission; readonly authorization: Authorization }
  | { readonly type: 'attached' }
  | { readonly type: 'replay-loaded'; readonly messages: readonly StoredMessage[]; readonly position: JoinPosition | null }
  | { readonly type: 'replay-failed'; readonly reason: string }
  | { readonly type: 'changes-live' }
  | { readonly type: 'changes-refused'; readonly code: DecisionCode; readonly reason: string; readonly fault?: ChangesFault | undefined }
  | { readonly type: 'new-token'; readonly token: string }
  | { readonly type: 'first-push' }
  | { readonly type: 'write-decided'; readonly admission: Admission; readonly authorization: Authorization }
  /** The server ends the channel and says why: a limit, an expired token. */
  | { readonly type: 'stop'; readonly code: DecisionCode; readonly message: string }
  | { readonly type: 'leave' }
  /** A new join of the same topic took its place; it gets its phx_close after the new one has its reply. */
  | { readonly type: 'replaced' }
  | { readonly type: 'connection-closed' }

export type ChannelEffect =
  | { readonly type: 'verify'; readonly token: string }
  | { readonly type: 'ask-read'; readonly admission: Admission }
  | { readonly type: 'ask-write'; readonly admission: Admission }
  /** The channel joins here in the log: messages of the database that were committed before are not for it. A later one replaces it. */
  | { readonly type: 'join-at'; readonly position: JoinPosition | null }
  /** Open the topic; `attached` follows when the messages of other nodes come, or within a second. */
  | { readonly type: 'attach' }
  | { readonly type: 'load-replay' }
  /** Subscribe to row changes before the join is answered (rule J7). */
  | { readonly type: 'open-changes'; readonly admission: Admission }
  | {
      readonly type: 'refuse-join'
      readonly code: DecisionCode
      readonly reason: string
      readonly detail?: string
      readonly fault?: ChangesFault
    }
  /** Subscribe to the topic, reply, and send what follows the reply. */
  | { readonly type: 'enter'; readonly admission: Admission; readonly reads: Reads; readonly replay: readonly StoredMessage[] }
  | { readonly type: 'change-reads'; readonly reads: Reads }
  | { readonly type: 'change-identity'; readonly identity: Identity }
  /** Handle the frames that waited for a decision. */
  | { readonly type: 'resume' }
  /** The policies could not be asked: refuse the pushes that waited. The next push asks again. */
  | { readonly type: 'refuse-waiting'; readonly reason: string }
  /** Unsubscribe, untrack, end the channel's row changes. */
  | { readonly type: 'exit' }
  | { readonly type: 'system-error'; readonly code: DecisionCode; readonly message: string; readonly detail?: string }
  | { readonly type: 'phx-close' }
  | { readonly type: 'forget' }

export interface ChannelTransitionOptions {
  readonly private: boolean
  readonly presenceEnabled: boolean
  readonly wantsReplay: boolean
  /** There are other nodes. */
  readonly isClustered: boolean
  /** The join is answered when its row changes are live. */
  readonly waitsForChanges: boolean
  /** For the texts of refusals. */
  readonly subTopic: string
  /** Refusals name the policy that failed and its error. */
  readonly showsFailedPolicies: boolean
}

export type ChannelTransition = Transition<ChannelState, ChannelEffect>

export const initialChannel: ChannelState = { kind: 'verifying' }

const CLOSED: ChannelState = { kind: 'closed' }
const EVERYTHING: Reads = { broadcast: true, presence: true }

export function channelTransition(state: ChannelState, event: ChannelEvent, options: ChannelTransitionOptions): ChannelTransition {
  if (state.kind === 'closed') return { state, effects: [] }
  switch (event.type) {
    case 'leave':
      return state.kind === 'joined' ? end([{ type: 'exit' }, { type: 'phx-close' }, { type: 'forget' }]) : stay(state)
    case 'replaced':
    case 'connection-closed':
      return end(state.kind === 'joined' || state.kind === 'subscribing' ? [{ type: 'exit' }] : [])
    case 'stop':
      return state.kind === 'joined' ? stop(event.code, event.message) : refuse(event.code, event.message)
    default:
      return state.kind === 'joined' ? whileJoined(state, event, options) : whileJoining(state, event, options)
  }
}

type Joining = Exclude<ChannelState, { kind: 'joined' | 'closed' }>
type Joined = Extract<ChannelState, { kind: 'joined' }>

function whileJoining(state: Joining, event: ChannelEvent, options: ChannelTransitionOptions): ChannelTransition {
  switch (event.type) {
    case 'token-refused':
      return state.kind === 'verifying' ? refuse(event.code, event.joinReason) : stay(state)
    case 'admitted': {
      if (state.kind !== 'verifying') return stay(state)
      const { admission } = event
      if (options.private) return { state: { kind: 'authorizing', admission }, effects: [{ type: 'ask-read', admission }] }
      if (options.wantsReplay) return refuse('replay-not-allowed', 'UnableToReplayMessages: Replay is not allowed for public channels')
      return attach(admission, EVERYTHING, options)
    }
    case 'read-decided': {
      if (state.kind !== 'authorizing') return stay(state)
      const { authorization } = event
      if (!authorization.ok) return refuse('authorization-unavailable', authorization.reason)
      const reads = { broadcast: authorization.broadcast, presence: authorization.presence }
      const denial = refusalOf(authorization, options.showsFailedPolicies)
      if (!mayJoin(reads, options)) return refuse('unauthorized', `Unauthorized: ${noRead(options)}`, denial)
      if (options.wantsReplay && !reads.broadcast) return refuse('unauthorized', `Unauthorized: ${noRead(options)}`, denial)
      return joiningAt(authorization.position ?? null, attach(state.admission, reads, options))
    }
    case 'attached':
      return state.kind === 'attaching' ? loadReplay(state.admission, state.reads, options) : stay(state)
    case 'replay-loaded':
      if (state.kind !== 'replaying') return stay(state)
      return joiningAt(event.position, subscribe(state.admission, state.reads, event.messages, options))
    case 'replay-failed':
      return state.kind === 'replaying' ? refuse('replay-unavailable', event.reason) : stay(state)
    case 'changes-live':
      return state.kind === 'subscribing' ? enter(state.admission, state.reads, state.replay) : stay(state)
    case 'changes-refused':
      return state.kind === 'subscribing' ? refuse(event.code, event.reason, undefined, event.fault) : stay(state)
    default:
      return stay(state)
  }
}

function whileJoined(state: Joined, event: ChannelEvent, options: ChannelTransitionOptions): ChannelTransition {
  switch (event.type) {
    case 'new-token': {
      const { token } = event
      if (token === (state.renewing ?? state.admission.token)) return stay(state)
      return { state: { ...state, renewing: token }, effects: [{ type: 'verify', token }] }
    }
    case 'token-refused':
      return event.token === state.renewing ? stop(event.code, event.message) : stay(state)
    case 'admitted': {
      const { admission } = event
      if (admission.token !== state.renewing) return stay(state)
      if (options.private) return { state, effects: [{ type: 'ask-read', admission }] }
      return {
        state: { ...state, admission, renewing: null },
        effects: [{ type: 'change-identity', identity: admission.identity }],
      }
    }
    case 'read-decided': {
      const { admission, authorization } = event
      if (admission.token !== state.renewing) return stay(state)
      if (!authorization.ok) return stop('authorization-unavailable', withoutCode(authorization.reason))
      const reads = { broadcast: authorization.broadcast, presence: authorization.presence }
      const denial = refusalOf(authorization, options.showsFailedPolicies)
      if (!mayJoin(reads, options)) return stop('unauthorized', noRead(options), denial)
      if ((state.reads.broadcast && !reads.broadcast) || (options.presenceEnabled && state.reads.presence && !reads.presence))
        return stop('unauthorized', `You no longer have permission to read from this Channel topic: ${options.subTopic}`, denial)
      const asking: readonly ChannelEffect[] = state.writes === 'asking' ? [{ type: 'ask-write', admission }] : []
      return {
        state: { ...state, admission, reads, writes: state.writes === 'asking' ? 'asking' : null, renewing: null },
        effects: [{ type: 'change-reads', reads }, { type: 'change-identity', identity: admission.identity }, ...asking],
      }
    }
    case 'first-push':
      if (state.writes !== null) return stay(state)
      if (!options.private) return { state: { ...state, writes: EVERYTHING }, effects: [] }
      return { state: { ...state, writes: 'asking' }, effects: [{ type: 'ask-write', admission: state.admission }] }
    case 'write-decided': {
      if (state.writes !== 'asking' || event.admission !== state.admission) return stay(state)
      const { authorization } = event
      if (!authorization.ok)
        return { state: { ...state, writes: null }, effects: [{ type: 'refuse-waiting', reason: authorization.reason }] }
      const refusal = refusalOf(authorization, options.showsFailedPolicies)
      const allowed = { broadcast: authorization.broadcast, presence: authorization.presence }
      const writes = refusal === undefined ? allowed : { ...allowed, refusal }
      return { state: { ...state, writes }, effects: [{ type: 'resume' }] }
    }
    default:
      return stay(state)
  }
}

function joiningAt(position: JoinPosition | null, { state, effects }: ChannelTransition): ChannelTransition {
  return { state, effects: [{ type: 'join-at', position }, ...effects] }
}

function mayJoin(reads: Reads, options: ChannelTransitionOptions): boolean {
  return reads.broadcast || (options.presenceEnabled && reads.presence)
}

function noRead(options: ChannelTransitionOptions): string {
  return `You do not have permissions to read from this Channel topic: ${options.subTopic}`
}

/** A refusal begins with a code and a colon; a `system` message has the text alone (rule A4). */
function withoutCode(reason: string): string {
  return reason.replace(/^[A-Za-z]+: /, '')
}

function attach(admission: Admission, reads: Reads, options: ChannelTransitionOptions): ChannelTransition {
  if (!options.isClustered) return loadReplay(admission, reads, options)
  return { state: { kind: 'attaching', admission, reads }, effects: [{ type: 'attach' }] }
}

function loadReplay(admission: Admission, reads: Reads, options: ChannelTransitionOptions): ChannelTransition {
  if (!options.wantsReplay) return subscribe(admission, reads, [], options)
  return { state: { kind: 'replaying', admission, reads }, effects: [{ type: 'load-replay' }] }
}

function subscribe(
  admission: Admission,
  reads: Reads,
  replay: readonly StoredMessage[],
  options: ChannelTransitionOptions,
): ChannelTransition {
  if (!options.waitsForChanges) return enter(admission, reads, replay)
  return { state: { kind: 'subscribing', admission, reads, replay }, effects: [{ type: 'open-changes', admission }] }
}

function enter(admission: Admission, reads: Reads, replay: readonly StoredMessage[]): ChannelTransition {
  return {
    state: { kind: 'joined', admission, reads, writes: null, renewing: null },
    effects: [{ type: 'enter', admission, reads, replay }, { type: 'resume' }],
  }
}

function refuse(code: DecisionCode, text: string, refusal?: Refusal, fault?: ChangesFault): ChannelTransition {
  const { shown: reason, logged: detail } = explained(text, refusal)
  const more = { ...(detail === reason ? {} : { detail }), ...(fault === undefined ? {} : { fault }) }
  return end([{ type: 'exit' }, { type: 'refuse-join', code, reason, ...more }, { type: 'forget' }])
}

function stop(code: DecisionCode, text: string, refusal?: Refusal): ChannelTransition {
  const { shown: message, logged: detail } = explained(text, refusal)
  const error: ChannelEffect = { type: 'system-error', code, message, ...(detail === message ? {} : { detail }) }
  return end([{ type: 'exit' }, error, { type: 'phx-close' }, { type: 'forget' }])
}

function end(effects: readonly ChannelEffect[]): ChannelTransition {
  return { state: CLOSED, effects }
}

function stay(state: ChannelState): ChannelTransition {
  return { state, effects: [] }
}
