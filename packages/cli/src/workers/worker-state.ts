import type { Transition } from '@tidewire/protocol'
import type { WorkerPlace } from './messages.ts'

/** One worker, as its primary sees it. */
export type WorkerState =
  /** `crashes`: times in a row that it ended soon after its start. */
  | { readonly kind: 'starting'; readonly crashes: number }
  | { readonly kind: 'up'; readonly crashes: number; readonly upBeats: number; readonly silentBeats: number }
  /** Ended; waits to be started again. */
  | { readonly kind: 'waiting'; readonly crashes: number; readonly beatsLeft: number }
  | { readonly kind: 'stopped' }

export type WorkerEvent =
  | { readonly type: 'ready' }
  | { readonly type: 'alive' }
  /** A second has passed for the primary. */
  | { readonly type: 'beat' }
  | { readonly type: 'ended' }
  | { readonly type: 'stop' }

export type WorkerEffect = 'start' | 'kill' | 'warn-silent'

type WorkerTransition = Transition<WorkerState, WorkerEffect>

/** A worker that ran this long is replaced at once when it ends. */
const STABLE_BEATS = 60
const MAX_WAIT_BEATS = 30
const SILENT_BEATS = 5
/** A silent worker is killed after this. Its clients have left long before: their heartbeats time out after some ten seconds. */
const KILL_BEATS = 60

export const initialWorker: WorkerState = { kind: 'starting', crashes: 0 }

/** Counts beats, not time: after the whole machine was frozen, messages of the workers wait to be read. */
export function workerTransition(state: WorkerState, event: WorkerEvent): WorkerTransition {
  switch (event.type) {
    case 'ready':
      return { state: state.kind === 'starting' ? { kind: 'up', crashes: state.crashes, upBeats: 0, silentBeats: 0 } : state, effects: [] }
    case 'alive':
      return { state: state.kind === 'up' ? { ...state, silentBeats: 0 } : state, effects: [] }
    case 'beat':
      return beat(state)
    case 'ended':
      return ended(state)
    case 'stop':
      return { state: { kind: 'stopped' }, effects: [] }
  }
}

function beat(state: WorkerState): WorkerTransition {
  if (state.kind === 'waiting') {
    if (state.beatsLeft <= 1) return { state: { kind: 'starting', crashes: state.crashes }, effects: ['start'] }
    return { state: { ...state, beatsLeft: state.beatsLeft - 1 }, effects: [] }
  }
  if (state.kind !== 'up') return { state, effects: [] }
  const silentBeats = state.silentBeats + 1
  const next = { ...state, upBeats: state.upBeats + 1, silentBeats }
  return { state: next, effects: silentBeats === SILENT_BEATS ? ['warn-silent'] : silentBeats === KILL_BEATS ? ['kill'] : [] }
}

function ended(state: WorkerState): WorkerTransition {
  if (state.kind === 'stopped' || state.kind === 'waiting') return { state, effects: [] }
  const wasStable = state.kind === 'up' && state.upBeats >= STABLE_BEATS
  const crashes = wasStable ? 1 : state.crashes + 1
  // The first time: it may have been killed by hand, or by the kernel for lack of memory.
  if (crashes === 1) return { state: { kind: 'starting', crashes }, effects: ['start'] }
  return { state: { kind: 'waiting', crashes, beatsLeft: Math.min(MAX_WAIT_BEATS, 2 ** (crashes - 2)) }, effects: [] }
}

/** A sentence about one worker, or `null`: it serves. */
export function troubleOf(number: WorkerPlace['number'], state: WorkerState): string | null {
  switch (state.kind) {
    case 'stopped':
      return null
    case 'starting':
      return state.crashes === 0 ? null : `worker ${number} ended and is being started again`
    case 'waiting':
      return `worker ${number} ended ${state.crashes} times in a row and is started again in ${state.beatsLeft} s`
    case 'up':
      return state.silentBeats < SILENT_BEATS ? null : `worker ${number} has not answered for ${state.silentBeats} s`
  }
}
