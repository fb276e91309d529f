import type { Version } from '@tidewire/protocol'
import { CatchUp } from './catch-up.ts'
import type { TopicMessage } from '../ports/topic.ts'
import { Envelopes } from './encoded-message.ts'
import type { Reads, Stream, Subscriber } from './subscriber.ts'
import type { Turn } from './turn.ts'

/** A subscriber's place on a topic; kept by the subscriber to be given back. */
export interface Seat {
  readonly subscriber: Subscriber
  readonly lane: Lane
  index: number
  /** What is pending before this was sent before the subscriber came. */
  from: number
}

/** Who is left out of a message: its sender, or several, or nobody. */
export type Except = Subscriber | ReadonlySet<Subscriber> | null

/** All who get exactly the same bytes: one version, the same streams. */
interface Lane {
  readonly version: Version
  readonly reads: Reads
  readonly seats: Seat[]
  pending: Pending[]
  pendingBytes: number
  /** Seats that were taken while something was pending. */
  late: Seat[]
}

interface Pending {
  readonly frame: Buffer
  readonly except: Except
}

/** A flush does not wait for the end of the turn when this much is pending. */
const FLUSH_BYTES = 64 * 1024

/** Messages a turn, smoothed, from which on messages are gathered instead of being written at once. */
const GATHER_FROM = 1.5

/**
 * A room: its subscribers, and the one place where every message to them enters. A message is encoded at most once per
 * version and written at most once per subscriber and turn; order is the same for everybody.
 */
export class Topic {
  /** The name on the wire. */
  readonly name: string
  readonly #turn: Turn
  readonly #envelopes: Envelopes
  readonly #lanes: Lane[] = []
  readonly #catchUps = new Set<CatchUp>()
  #afterFlush: (() => void)[] = []
  /** When the pending messages began; empty while nobody wants to know. */
  #pendingSince: number[] = []
  #delivered: { readonly payload: Uint8Array; readonly event: string; readonly frames: Map<Version, Buffer> } | undefined
  #dirty = false
  #turnSeen = -1
  #messagesInTurn = 0
  #messagesPerTurn = 0
  size = 0

  constructor(name: string, turn: Turn) {
    this.name = name
    this.#turn = turn
    this.#envelopes = new Envelopes(name)
  }

  /** Nobody is subscribed, or about to be. */
  get isEmpty(): boolean {
    return this.size === 0 && this.#catchUps.size === 0
  }

  /** Nothing is written out for it, so that a crowd that comes at once does not cost each of it a write for each other. */
  subscribe(subscriber: Subscriber, reads: Reads): Seat {
    const lane = this.#laneFor(subscriber.version, reads)
    const seat = { subscriber, lane, index: lane.seats.length, from: lane.pending.length }
    lane.seats.push(seat)
    if (seat.from > 0) lane.late.push(seat)
    this.size++
    return seat
  }

  /** Only who goes is given what is pending; the others get it with what follows. */
  unsubscribe(seat: Seat): void {
    // An answer to who goes comes before its end.
    if (this.#afterFlush.length > 0) this.flush()
    else if (this.owes(seat)) writeTo(seat.subscriber, seat.lane.pending.slice(seat.from))
    const { seats } = seat.lane
    const last = seats.pop()
    if (last !== undefined && last !== seat) {
      seats[seat.index] = last
      last.index = seat.index
    }
    this.size--
  }

  /** What a new token changes: the same subscriber, other streams. What was sent before still follows the old ones. */
  setReads(seat: Seat, reads: Reads): Seat {
    this.unsubscribe(seat)
    return this.subscribe(seat.subscriber, reads)
  }

  /** Whether something is pending that this subscriber may have to get. */
  owes({ lane, from }: Seat): boolean {
    return lane.pending.length > from
  }

  /** Sends to all subscribers of the stream but those left out. Returns how many that are. */
  fanOut(stream: Stream, message: TopicMessage, except: Except): number {
    const since = this.#turn.fanOutTimes.begin()
    const gather = this.#shouldGather()
    let receivers = 0
    for (const lane of this.#lanes) {
      if (lane.seats.length === 0 || !lane.reads[stream]) continue
      const frame = this.#envelopes.encode(lane.version, message)
      if (frame === null) continue
      receivers += lane.seats.length
      if (gather) this.#gather(lane, frame, except)
      else for (const { subscriber } of lane.seats) if (!isLeftOut(subscriber, except)) subscriber.write(frame, 1)
    }
    if (since !== null && receivers > 0) {
      if (gather) this.#pendingSince.push(since)
      else this.#turn.fanOutTimes.written([since])
    }
    return Math.max(0, receivers - (except === null ? 0 : except instanceof Set ? except.size : 1))
  }

  /** Sends a message that is stored under an id, and so may have been, or may yet be, replayed to a channel. */
  fanOutStored(id: string, message: TopicMessage, now: number): number {
    const had = new Set<Subscriber>()
    for (const catchUp of this.#catchUps) {
      if (catchUp.isOver(now)) this.#catchUps.delete(catchUp)
      else if (catchUp.passes(id, message)) had.add(catchUp.subscriber)
    }
    return this.fanOut('broadcast', message, had.size === 0 ? null : had)
  }

  /** From here on, stored messages are kept for a subscriber that is about to come. */
  beginCatchUp(subscriber: Subscriber): CatchUp {
    const catchUp = new CatchUp(subscriber)
    this.#catchUps.add(catchUp)
    return catchUp
  }

  endCatchUp(catchUp: CatchUp): void {
    this.#catchUps.delete(catchUp)
  }

  /** A frame for one subscriber, or `null` when its version cannot carry the message. */
  frameFor(subscriber: Subscriber, message: TopicMessage): Buffer | null {
    return this.#envelopes.encode(subscriber.version, message)
  }

  /**
   * Sends to one subscriber, after everything that was sent to the topic before. Calls in a row with the same payload
   * object share their frames.
   */
  deliverTo(subscriber: Subscriber, event: string, payload: Uint8Array): void {
    this.flush()
    if (this.#delivered?.payload !== payload || this.#delivered.event !== event) this.#delivered = { payload, event, frames: new Map() }
    const { frames } = this.#delivered
    let frame = frames.get(subscriber.version)
    if (frame === undefined) {
      frame = this.#envelopes.text(subscriber.version, event, payload)
      frames.set(subscriber.version, frame)
    }
    subscriber.write(frame, 1)
  }

  *subscribers(): Generator<Subscriber> {
    for (const { seats } of this.#lanes) for (const { subscriber } of seats) yield subscriber
  }

  /** Runs now, or after the flush if messages are pending: a reply never overtakes the message it speaks of. */
  inOrder(write: () => void): void {
    if (this.#dirty) this.#afterFlush.push(write)
    else write()
  }

  /** Writes what is pending. */
  flush(): void {
    if (!this.#dirty) return
    this.#dirty = false
    for (const lane of this.#lanes) if (lane.pending.length > 0) flushLane(lane)
    if (this.#pendingSince.length > 0) {
      this.#turn.fanOutTimes.written(this.#pendingSince)
      this.#pendingSince = []
    }
    const writes = this.#afterFlush
    this.#afterFlush = []
    for (const write of writes) write()
  }

  #gather(lane: Lane, frame: Buffer, except: Except): void {
    lane.pending.push({ frame, except })
    lane.pendingBytes += frame.length
    this.#turn.gathered(lane.pending.length)
    if (!this.#dirty) {
      this.#dirty = true
      this.#turn.atEnd(this.#flushAtEnd)
    }
    if (lane.pendingBytes >= FLUSH_BYTES) flushLane(lane)
  }

  readonly #flushAtEnd = (): void => this.flush()

  /** A lone message is written at once; when several come in a turn, gathering them saves a write each. */
  #shouldGather(): boolean {
    this.#turn.begin()
    if (this.#turnSeen !== this.#turn.number) {
      this.#turnSeen = this.#turn.number
      this.#messagesPerTurn += (this.#messagesInTurn - this.#messagesPerTurn) / 4
      this.#messagesInTurn = 0
    }
    this.#messagesInTurn++
    return this.#dirty || this.#messagesInTurn > 1 || this.#messagesPerTurn >= GATHER_FROM
  }

  #laneFor(version: Version, reads: Reads): Lane {
    for (const lane of this.#lanes)
      if (lane.version === version && lane.reads.broadcast === reads.broadcast && lane.reads.presence === reads.presence) return lane
    const lane: Lane = { version, reads, seats: [], pending: [], pendingBytes: 0, late: [] }
    this.#lanes.push(lane)
    return lane
  }
}

/** One buffer for all, and one of its own for each who is left out of some of the messages, or came between them. */
function flushLane(lane: Lane): void {
  const { pending, seats, late } = lane
  lane.pending = []
  lane.pendingBytes = 0
  lane.late = []
  const all = pending.length === 1 ? pending[0]!.frame : Buffer.concat(pending.map(({ frame }) => frame))
  const leftOut = leftOutOf(pending)
  for (const { subscriber, from } of seats) {
    if (from === 0 && (leftOut === null || !isLeftOut(subscriber, leftOut))) subscriber.write(all, pending.length)
    else writeTo(subscriber, from === 0 ? pending : pending.slice(from))
  }
  for (const seat of late) seat.from = 0
}

function writeTo(subscriber: Subscriber, pending: readonly Pending[]): void {
  const theirs = pending.filter(({ except }) => !isLeftOut(subscriber, except))
  if (theirs.length > 0) subscriber.write(Buffer.concat(theirs.map(({ frame }) => frame)), theirs.length)
}

/** Everybody who is left out of some message. Mostly that is nobody, or one: then no set is looked into for each subscriber. */
function leftOutOf(pending: Lane['pending']): Except {
  const first = pending[0]!.except
  if (pending.every(({ except }) => except === first)) return first
  const leftOut = new Set<Subscriber>()
  for (const { except } of pending) {
    if (except instanceof Set) for (const subscriber of except) leftOut.add(subscriber)
    else if (except !== null) leftOut.add(except as Subscriber)
  }
  return leftOut
}

function isLeftOut(subscriber: Subscriber, except: Except): boolean {
  return except === subscriber || (except instanceof Set && except.has(subscriber))
}
