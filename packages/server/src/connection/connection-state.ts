import { CloseCode, type Transition } from '@tidewire/protocol'

/**
 * The life of one socket, apart from what it carries. A sweep comes at a fixed interval; silence and congestion are
 * counted in sweeps, so that no clock can jump and no timer is kept per socket.
 *
 *   open ──close, quiet too long, congested──► closing ──transport gone, or too slow──► closed
 */
export type ConnectionState =
  | { readonly kind: 'open'; readonly quietSweeps: number; readonly congestedSweeps: number }
  | { readonly kind: 'closing'; readonly sweeps: number }
  | { readonly kind: 'closed' }

export type ConnectionEvent =
  /** `heard`: a frame came since the last sweep. `moved`: the backlog is empty or something of it was taken. */
  | { readonly type: 'sweep'; readonly heard: boolean; readonly moved: boolean }
  /** The backlog went over its bound. */
  | { readonly type: 'overflow' }
  | { readonly type: 'close'; readonly code: number; readonly reason: string }
  /** As `close`, without waiting for the other side: until it closes it could go on sending, which would have to be kept. */
  | { readonly type: 'abort'; readonly code: number; readonly reason: string }
  | { readonly type: 'transport-closed' }

export type ConnectionEffect =
  /** Leave all channels: nothing is received or sent from here on. */
  | { readonly type: 'leave-all' }
  | { readonly type: 'close-transport'; readonly code: number; readonly reason: string }
  /** Drop the socket without waiting for the other side. */
  | { readonly type: 'terminate-transport' }

export interface ConnectionOptions {
  /** Sweeps without a frame from the client until it is closed (rule C1). */
  readonly maxQuietSweeps: number
  /** Sweeps during which the client took nothing of a backlog until it is closed (rule C5). */
  readonly maxCongestedSweeps: number
  /** Sweeps that a closing handshake may take. */
  readonly maxClosingSweeps: number
}

export type ConnectionTransition = Transition<ConnectionState, ConnectionEffect>

export const initialConnection: ConnectionState = { kind: 'open', quietSweeps: 0, congestedSweeps: 0 }

const CLOSED: ConnectionState = { kind: 'closed' }
const NO_EFFECTS: readonly ConnectionEffect[] = []

export function connectionTransition(state: ConnectionState, event: ConnectionEvent, options: ConnectionOptions): ConnectionTransition {
  switch (state.kind) {
    case 'open':
      return fromOpen(state, event, options)
    case 'closing':
      if (event.type === 'transport-closed') return { state: CLOSED, effects: NO_EFFECTS }
      if (event.type !== 'sweep') return { state, effects: NO_EFFECTS }
      if (state.sweeps + 1 < options.maxClosingSweeps) return { state: { kind: 'closing', sweeps: state.sweeps + 1 }, effects: NO_EFFECTS }
      return { state: CLOSED, effects: [{ type: 'terminate-transport' }] }
    case 'closed':
      return { state, effects: NO_EFFECTS }
  }
}

function fromOpen(
  state: Extract<ConnectionState, { kind: 'open' }>,
  event: ConnectionEvent,
  options: ConnectionOptions,
): ConnectionTransition {
  switch (event.type) {
    case 'sweep': {
      const quietSweeps = event.heard ? 0 : state.quietSweeps + 1
      const congestedSweeps = event.moved ? 0 : state.congestedSweeps + 1
      if (quietSweeps >= options.maxQuietSweeps) return close(CloseCode.normal, '')
      if (congestedSweeps >= options.maxCongestedSweeps) return close(CloseCode.tryAgainLater, 'The receiver took nothing for too long')
      if (quietSweeps === state.quietSweeps && congestedSweeps === state.congestedSweeps) return { state, effects: NO_EFFECTS }
      return { state: { kind: 'open', quietSweeps, congestedSweeps }, effects: NO_EFFECTS }
    }
    case 'overflow':
      return close(CloseCode.tryAgainLater, 'The receiver is too slow: its backlog is over the bound')
    case 'close':
      return close(event.code, event.reason)
    case 'abort':
      return { state: CLOSED, effects: [...close(event.code, event.reason).effects, { type: 'terminate-transport' }] }
    case 'transport-closed':
      return { state: CLOSED, effects: [{ type: 'leave-all' }] }
  }
}

function close(code: number, reason: string): ConnectionTransition {
  return { state: { kind: 'closing', sweeps: 0 }, effects: [{ type: 'leave-all' }, { type: 'close-transport', code, reason }] }
}
