import type { Transition } from '@tidewire/protocol'
import type { LingeringEntry, PresenceContext, PresenceDelta } from './presence-set.ts'

export interface PresenceSyncOptions {
  /** Own heartbeats without a message of a replica until its entries leave the view. */
  readonly downAfterBeats: number
  /**
   * The same where the own link has just come back: others, whose links are back soon if they live, have been silent for a while. A node
   * that dies a second before the broker returns leaves view no later than others do.
   */
  readonly downAfterReturnBeats: number
  /** The same until the replica is forgotten. */
  readonly goneAfterBeats: number
  /** Heartbeats until an unanswered question is asked again. */
  readonly askAgainAfterBeats: number
  /** Heartbeats in which a late message does not bring a replica back that is gone. */
  readonly endedForBeats: number
}

export const presenceSyncOptions: PresenceSyncOptions = {
  downAfterBeats: 8,
  downAfterReturnBeats: 5,
  goneAfterBeats: 120,
  askAgainAfterBeats: 4,
  endedForBeats: 20,
}

interface OtherReplica {
  readonly view: 'up' | 'down'
  /** Heartbeats of this node since the last message; when the own link comes up, set so that `downAfterReturnBeats` are left. */
  readonly silentBeats: number
  /** Heartbeats since the last question, or `null`: none is open. */
  readonly askedBeats: number | null
}

/** The knowledge of one node about the others' presence replicas. */
export interface PresenceSyncState {
  readonly linked: boolean
  readonly replicas: ReadonlyMap<string, OtherReplica>
  /** Replicas that are gone, with the heartbeats since. */
  readonly ended: ReadonlyMap<string, number>
}

export const initialPresenceSync: PresenceSyncState = { linked: false, replicas: new Map(), ended: new Map() }

export type PresenceSyncEvent =
  | { readonly type: 'link'; readonly up: boolean }
  /** Half a second has passed. */
  | { readonly type: 'beat' }
  /** The input that was pending at a beat has been read: only now the silence of others is known. */
  | { readonly type: 'input-read' }
  /** `lacks`: the tracker compared contexts, and misses something of that replica. */
  | { readonly type: 'digest'; readonly from: string; readonly lacks: boolean }
  | { readonly type: 'ask'; readonly from: string; readonly context: PresenceContext }
  | { readonly type: 'delta'; readonly from: string; readonly delta: PresenceDelta; readonly lingering: readonly LingeringEntry[] }
  | { readonly type: 'leaving'; readonly replica: string; readonly spreadMs: number }
  /** The node said goodbye, or the relay gave it up. */
  | { readonly type: 'gone'; readonly replica: string }
  /** The relay gets messages of the node again: it was only given up, and its messages are not late ones. */
  | { readonly type: 'returned'; readonly replica: string }
  /** Entries of this node changed. */
  | { readonly type: 'changed' }

export type PresenceSyncEffect =
  /** Says what this node has seen of its own replica. */
  | { readonly type: 'send-digest' }
  | { readonly type: 'send-changes' }
  /** Reads the pending input; the event `input-read` follows, if the link is up. */
  | { readonly type: 'read-input' }
  | { readonly type: 'ask'; readonly replica: string }
  /** Sends what a replica with this context has not seen of the own one. */
  | { readonly type: 'answer'; readonly replica: string; readonly context: PresenceContext }
  | { readonly type: 'merge'; readonly delta: PresenceDelta; readonly lingering: readonly LingeringEntry[] }
  | { readonly type: 'replica-up'; readonly replica: string }
  | { readonly type: 'replica-down'; readonly replica: string }
  | { readonly type: 'replica-leaving'; readonly replica: string; readonly spreadMs: number }
  | { readonly type: 'replica-gone'; readonly replica: string }
  | { readonly type: 'drop-lingering' }

type PresenceSyncTransition = Transition<PresenceSyncState, PresenceSyncEffect>

/**
 * Keeps the presence replicas of all nodes equal. Each node sends its own changes as they happen, and every half second a digest of its
 * own replica; a node that lacks something asks for it. Only this node's own heartbeats measure silence, and only while its link is
 * up and after it read what was pending: neither a broker that restarts nor a process that was frozen empties the view.
 */
export function presenceSyncTransition(
  state: PresenceSyncState,
  event: PresenceSyncEvent,
  options: PresenceSyncOptions,
): PresenceSyncTransition {
  if ('from' in event && state.ended.has(event.from)) return { state, effects: [] }
  switch (event.type) {
    case 'link':
      return link(state, event.up, options)
    case 'beat':
      return beat(state, options)
    case 'input-read':
      return inputRead(state, options)
    case 'digest':
      return digest(state, event.from, event.lacks, options)
    case 'ask':
      return heard(state, event.from, [{ type: 'answer', replica: event.from, context: event.context }])
    case 'delta':
      return heard(state, event.from, [{ type: 'merge', delta: event.delta, lingering: event.lingering }])
    case 'leaving':
      if (state.ended.has(event.replica)) return { state, effects: [] }
      return heard(state, event.replica, [{ type: 'replica-leaving', replica: event.replica, spreadMs: event.spreadMs }])
    case 'gone':
      return gone(state, event.replica)
    case 'returned':
      return { state: { ...state, ended: without(state.ended, event.replica) }, effects: [] }
    case 'changed':
      return { state, effects: state.linked ? [{ type: 'send-changes' }] : [] }
  }
}

function link(
  state: PresenceSyncState,
  up: boolean,
  { downAfterBeats, downAfterReturnBeats }: PresenceSyncOptions,
): PresenceSyncTransition {
  if (up === state.linked) return { state, effects: [] }
  if (!up) return { state: { ...state, linked: false }, effects: [] }
  const silentBeats = downAfterBeats - downAfterReturnBeats
  const replicas = mapped(state, (replica) => ({ ...replica, silentBeats, askedBeats: null }))
  return { state: { ...state, linked: true, replicas }, effects: [{ type: 'send-changes' }, { type: 'send-digest' }] }
}

function beat(before: PresenceSyncState, { endedForBeats }: PresenceSyncOptions): PresenceSyncTransition {
  const ended = new Map(
    Array.from(before.ended, ([name, beats]) => [name, beats + 1] as const).filter(([, beats]) => beats < endedForBeats),
  )
  const state = { ...before, ended }
  if (!state.linked) return { state, effects: [{ type: 'drop-lingering' }] }
  const replicas = mapped(state, (replica) => (replica.askedBeats === null ? replica : { ...replica, askedBeats: replica.askedBeats + 1 }))
  return { state: { ...state, replicas }, effects: [{ type: 'send-digest' }, { type: 'read-input' }] }
}

function inputRead(state: PresenceSyncState, { downAfterBeats, goneAfterBeats }: PresenceSyncOptions): PresenceSyncTransition {
  if (!state.linked) return { state, effects: [] }
  // Not before the input was read: it may say that clients came back while this process was frozen.
  const effects: PresenceSyncEffect[] = [{ type: 'drop-lingering' }]
  const replicas = new Map<string, OtherReplica>()
  for (const [name, replica] of state.replicas) {
    const silentBeats = replica.silentBeats + 1
    if (silentBeats > goneAfterBeats) {
      effects.push({ type: 'replica-gone', replica: name })
      continue
    }
    const falls = replica.view === 'up' && silentBeats > downAfterBeats
    if (falls) effects.push({ type: 'replica-down', replica: name })
    replicas.set(name, { ...replica, silentBeats, view: falls ? 'down' : replica.view })
  }
  return { state: { ...state, replicas }, effects }
}

function digest(
  state: PresenceSyncState,
  from: string,
  lacks: boolean,
  { askAgainAfterBeats }: PresenceSyncOptions,
): PresenceSyncTransition {
  const isNew = !state.replicas.has(from)
  const next = heard(state, from, [])
  const replica = next.state.replicas.get(from)!
  // A replica that was unknown until now is lacking as a whole.
  const asks = (lacks || isNew) && (replica.askedBeats === null || replica.askedBeats >= askAgainAfterBeats)
  if (!asks)
    return lacks || replica.askedBeats === null ? next : { ...next, state: withReplica(next.state, from, { ...replica, askedBeats: null }) }
  return {
    state: withReplica(next.state, from, { ...replica, askedBeats: 0 }),
    effects: [...next.effects, { type: 'ask', replica: from }],
  }
}

function gone(state: PresenceSyncState, name: string): PresenceSyncTransition {
  const replicas = new Map(state.replicas)
  const isKnown = replicas.delete(name)
  return {
    state: { ...state, replicas, ended: new Map(state.ended).set(name, 0) },
    effects: isKnown ? [{ type: 'replica-gone', replica: name }] : [],
  }
}

/** Any message of a replica ends its silence; the replica comes into view before the message is acted upon. */
function heard(state: PresenceSyncState, from: string, effects: readonly PresenceSyncEffect[]): PresenceSyncTransition {
  const known = state.replicas.get(from)
  const replica: OtherReplica = { view: 'up', silentBeats: 0, askedBeats: known?.askedBeats ?? null }
  return {
    state: withReplica(state, from, replica),
    effects: known?.view === 'up' ? effects : [{ type: 'replica-up', replica: from }, ...effects],
  }
}

function withReplica(state: PresenceSyncState, name: string, replica: OtherReplica): PresenceSyncState {
  return { ...state, replicas: new Map(state.replicas).set(name, replica) }
}

function without(ended: ReadonlyMap<string, number>, name: string): ReadonlyMap<string, number> {
  return new Map(Array.from(ended).filter(([each]) => each !== name))
}

function mapped(state: PresenceSyncState, change: (replica: OtherReplica) => OtherReplica): ReadonlyMap<string, OtherReplica> {
  return new Map(Array.from(state.replicas, ([name, replica]) => [name, change(replica)]))
}
