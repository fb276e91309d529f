import type { GapReason } from '@tidewire/protocol'
import type { LogPosition } from '../replication/position.ts'

/** Where a channel stands between its request and live changes. */
export type ChannelState =
  /** It waits for the first stream of the server. */
  | { readonly kind: 'waiting' }
  /** Its tables and filters are being looked up. */
  | { readonly kind: 'planning' }
  /** Changes reach it and are held: the log position that it starts from is not known yet. `missed`: why it could not resume. */
  | { readonly kind: 'registered'; readonly missed: GapReason | null }
  /** The channel is sent changes that it missed, and has everything up to `after`. Live changes do not reach it. */
  | { readonly kind: 'replaying'; readonly after: LogPosition }
  /** Changes after `after` are sent as they come. */
  | { readonly kind: 'live'; readonly after: LogPosition }
  | { readonly kind: 'closed' }

export type ChannelEvent =
  | { readonly type: 'epoch-known' }
  | { readonly type: 'registered'; readonly missed: GapReason | null }
  /** Everything up to `after` was sent, or is not wanted. */
  | { readonly type: 'replayed'; readonly after: LogPosition }
  | { readonly type: 'gap'; readonly missed: GapReason }
  | { readonly type: 'started'; readonly after: LogPosition }
  /** Changes from here on are of another log; all of them come after `after`. */
  | { readonly type: 'other-log'; readonly after: LogPosition }
  | { readonly type: 'closed' }

/** The next state. An event that means nothing in a state leaves it as it is: a live channel that is planned again stays live. */
export function feedChannelTransition(state: ChannelState, event: ChannelEvent): ChannelState {
  if (event.type === 'closed') return state.kind === 'closed' ? state : { kind: 'closed' }
  switch (state.kind) {
    case 'waiting':
      return event.type === 'epoch-known' ? { kind: 'planning' } : state
    case 'planning':
      if (event.type === 'registered') return { kind: 'registered', missed: event.missed }
      return event.type === 'replayed' ? { kind: 'replaying', after: event.after } : state
    case 'registered':
      return event.type === 'started' ? { kind: 'live', after: event.after } : state
    case 'replaying':
      if (event.type === 'gap') return { kind: 'registered', missed: event.missed }
      if (event.type === 'started') return { kind: 'live', after: event.after }
      return event.type === 'replayed' ? { kind: 'replaying', after: event.after } : state
    case 'live':
      return event.type === 'other-log' ? { kind: 'live', after: event.after } : state
    case 'closed':
      return state
  }
}
