import { Machine, type Steps } from '@tidewire/protocol'
import type { StepQueue } from '../limits/step-queue.ts'
import type { PeerEvent, Relay, RelayLink } from '../ports/relay.ts'
import type { Runtime, TimerHandle } from '../ports/runtime.ts'
import type { LingeringEntry, PresenceContext } from './presence-set.ts'
import {
  initialPresenceSync,
  presenceSyncOptions,
  presenceSyncTransition,
  type PresenceSyncEffect,
  type PresenceSyncEvent,
} from './presence-sync-state.ts'
import type { PresenceDiffs } from './presence-diff.ts'
import type { PresenceTracker } from './presence-tracker.ts'
import { decodePresenceMessage, encodeDelta, encodeLingering, encodePresenceMessage } from './presence-wire.ts'

export interface PresenceReplicationOptions {
  readonly runtime: Pick<Runtime, 'uptime' | 'setTimer' | 'endOfTurn'>
  readonly relay: Pick<Relay, 'self' | 'send' | 'caughtUp'>
  /** Its `replica` must be the instance of the relay. */
  readonly tracker: Pick<
    PresenceTracker<object>,
    | 'context'
    | 'lacks'
    | 'delta'
    | 'takeDelta'
    | 'merge'
    | 'replicaUp'
    | 'replicaDown'
    | 'replicaLeaving'
    | 'replicaGone'
    | 'lingering'
    | 'linger'
    | 'dropLingering'
    | 'isBehind'
    | 'show'
  >
  /** Takes work that is too much for one turn of the event loop. */
  readonly steps: Pick<StepQueue, 'add'>
  /** Sends diffs to the subscribers of this node. */
  readonly announce: (diffs: PresenceDiffs) => void
  /** A message of another node cannot be read; it was dropped. */
  readonly fault: (detail: string) => void
}

const BEAT_MS = 500
/**
 * How long the presence of a client of a draining node waits for its return, besides the time over which that node closes its clients: the
 * more come back, the longer the last of them takes.
 */
const LINGER_MS = 5_000
/** A node that drains for longer closes few clients at a time, and these are soon back. */
const MAX_SPREAD_MS = 30_000
/** The size of a presence message: a node that joins a large cluster gets its presence in pieces, so that neither event loop stalls. */
const MESSAGE_BYTES = 64 * 1024
/** The most entries that come into view, or leave it, in one step: some milliseconds where each is in a topic of its own. */
const STEP_ENTRIES = 200

/** Carries out {@link presenceSyncTransition} on a tracker and a relay. */
export class PresenceReplication {
  readonly #options: PresenceReplicationOptions
  readonly #machine = new Machine(
    initialPresenceSync,
    (state, event: PresenceSyncEvent) => presenceSyncTransition(state, event, presenceSyncOptions),
    (effect: PresenceSyncEffect) => this.#perform(effect),
  )
  /** The nodes to answer, each with what it has seen. */
  readonly #asked = new Map<string, PresenceContext>()
  /** The answer that is being sent, a message a turn. */
  #answer: { readonly to: string; readonly messages: Iterator<Uint8Array> } | null = null
  /** Nodes that were sent what lingers. */
  readonly #greeted = new Set<string>()
  /** Replicas whose last digest showed nothing that this node lacks. */
  readonly #equal = new Set<string>()
  #flushing = false
  #showing = false
  #beating: TimerHandle | null = null

  constructor(options: PresenceReplicationOptions) {
    this.#options = options
  }

  start(): void {
    this.#beating = this.#options.runtime.setTimer(this.#beat, BEAT_MS)
  }

  stop(): void {
    this.#beating?.cancel()
    this.#asked.clear()
    this.#answer = null
  }

  /** This node drains. Entries of its clients linger on this node, too: the clients that are closed last would see them flicker. */
  leave(spreadMs: number): void {
    this.#leaving(this.#options.relay.self.instance, spreadMs)
  }

  /** To be called after every change of an entry of this node; all of one turn are sent together. */
  changed(): void {
    if (this.#flushing) return
    this.#flushing = true
    this.#options.runtime.endOfTurn(() => {
      this.#flushing = false
      this.#take({ type: 'changed' })
    })
  }

  onLink({ state }: RelayLink): void {
    this.#take({ type: 'link', up: state === 'up' })
  }

  onPeer(event: PeerEvent): void {
    const replica = event.peer.instance
    if (event.kind === 'up') this.#take({ type: 'returned', replica })
    else if (event.kind === 'leaving') this.#take({ type: 'leaving', replica, spreadMs: event.spreadMs })
    else {
      this.#equal.delete(replica)
      this.#greeted.delete(replica)
      this.#take({ type: 'gone', replica })
    }
  }

  /** Whether this node holds, and shows, all that these replicas had a heartbeat ago. */
  holdsAllOf(replicas: readonly string[]): boolean {
    return !this.#options.tracker.isBehind && replicas.every((replica) => this.#equal.has(replica))
  }

  onNodeMessage(bytes: Uint8Array, from: string): void {
    const decoded = decodePresenceMessage(bytes)
    if (!decoded.ok) return this.#options.fault(`A presence message of node ${from} cannot be read: ${decoded.fault}`)
    const message = decoded.value
    switch (message.type) {
      case 'delta':
        if (message.delta.some(({ replica }) => replica !== from))
          return this.#options.fault(`A presence message of node ${from} speaks for another node`)
        return this.#take({ ...message, from })
      case 'digest': {
        const lacks = this.#options.tracker.lacks(message.context)
        // The first digest of a replica does not count as equal: the tracker knows nothing of it, so it finds nothing lacking.
        if (lacks || !this.#machine.state.replicas.has(from)) this.#equal.delete(from)
        else this.#equal.add(from)
        return this.#take({ type: 'digest', from, lacks })
      }
      case 'ask':
        return this.#take({ ...message, from })
    }
  }

  readonly #beat = (): void => {
    this.#beating = this.#options.runtime.setTimer(this.#beat, BEAT_MS)
    this.#take({ type: 'beat' })
  }

  #take(event: PresenceSyncEvent): void {
    this.#machine.send(event)
    this.#show()
  }

  #perform(effect: PresenceSyncEffect): void {
    const { tracker, relay, runtime } = this.#options
    switch (effect.type) {
      case 'send-digest':
        relay.send('presence', encodePresenceMessage({ type: 'digest', context: this.#contextOf(relay.self.instance) }))
        return
      case 'send-changes':
        return this.#sendChanges()
      case 'read-input':
        void relay.caughtUp().then((read) => {
          if (read) this.#take({ type: 'input-read' })
        })
        return
      case 'ask':
        relay.send('presence', encodePresenceMessage({ type: 'ask', context: this.#contextOf(effect.replica) }), effect.replica)
        return
      case 'answer':
        return this.#answerTo(effect.replica, effect.context)
      case 'merge':
        tracker.merge(effect.delta, runtime.uptime())
        return tracker.linger(effect.lingering.map(bounded), runtime.uptime())
      case 'replica-up':
        return tracker.replicaUp(effect.replica)
      case 'replica-down':
        return tracker.replicaDown(effect.replica)
      case 'replica-leaving':
        return this.#leaving(effect.replica, effect.spreadMs)
      case 'replica-gone':
        return tracker.replicaGone(effect.replica, runtime.uptime())
      case 'drop-lingering':
        return tracker.dropLingering(runtime.uptime())
    }
  }

  #leaving(replica: string, spreadMs: number): void {
    this.#options.tracker.replicaLeaving(replica, LINGER_MS + Math.min(spreadMs, MAX_SPREAD_MS))
  }

  /** Announces the pending changes of the tracker: one step at once, the rest in later turns. */
  #show(): void {
    if (this.#showing) return
    this.#showStep()
    if (!this.#options.tracker.isBehind) return
    this.#showing = true
    this.#options.steps.add(this.#showRest(), 0, () => {})
  }

  *#showRest(): Steps<void> {
    try {
      while (this.#options.tracker.isBehind) {
        this.#showStep()
        if (this.#options.tracker.isBehind) yield
      }
    } finally {
      this.#showing = false
    }
  }

  #showStep(): void {
    const diffs = this.#options.tracker.show(STEP_ENTRIES)
    if (diffs.size > 0) this.#options.announce(diffs)
  }

  #contextOf(replica: string): PresenceContext {
    return this.#options.tracker.context().filter((each) => each.replica === replica)
  }

  #sendChanges(): void {
    const delta = this.#options.tracker.takeDelta()
    if (delta === null) return
    for (const message of encodeDelta(delta, MESSAGE_BYTES)) this.#options.relay.send('presence', message)
  }

  /** A question that comes while its node is being answered is dropped: the node asks again if it still lacks something. */
  #answerTo(to: string, asked: PresenceContext): void {
    if (this.#answer?.to === to) return
    this.#asked.set(to, asked)
    if (this.#answer === null) this.#nextAnswer()
  }

  /** Answers with the own replica only: every node answers for itself. */
  #nextAnswer(): void {
    const { tracker, relay } = this.#options
    for (const [to, asked] of this.#asked) {
      this.#asked.delete(to)
      const own = asked.filter(({ replica }) => replica === relay.self.instance)
      const others = tracker.context().filter(({ replica }) => replica !== relay.self.instance)
      this.#answer = { to, messages: this.#answerTexts(to, [...own, ...others]) }
      return this.#sendAnswer()
    }
  }

  /** Lingering entries come first: the asking node takes clients as soon as it has the rest. */
  *#answerTexts(to: string, seen: PresenceContext): Generator<Uint8Array> {
    const { tracker, runtime } = this.#options
    // Read before anything is sent: changes that other nodes send in later turns do not belong to this answer.
    const delta = tracker.delta(seen)
    if (!this.#greeted.has(to)) yield* encodeLingering(tracker.lingering(runtime.uptime()), MESSAGE_BYTES)
    // Reached only when all lingering entries were sent: after a failed send nothing more is asked of this generator.
    this.#greeted.add(to)
    yield* encodeDelta(delta, MESSAGE_BYTES)
  }

  readonly #sendAnswer = (): void => {
    if (this.#answer === null) return
    const { to, messages } = this.#answer
    const next = messages.next()
    const isOver = next.done === true || !this.#options.relay.send('presence', next.value, to)
    if (isOver) this.#answer = null
    if (!isOver) this.#options.runtime.endOfTurn(this.#sendAnswer)
    else if (this.#asked.size > 0) this.#options.runtime.endOfTurn(() => this.#nextAnswer())
  }
}

/** No longer than a node lets entries linger by itself. */
function bounded({ entry, forMs }: LingeringEntry): LingeringEntry {
  return { entry, forMs: Math.min(forMs, LINGER_MS + MAX_SPREAD_MS) }
}
