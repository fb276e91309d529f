import type { ChangesFault } from '@tidewire/protocol'
import type { Lsn } from '../replication/lsn.ts'
import { formatPosition, parsePosition, type Place } from '../replication/position.ts'
import type { ReplicationFault } from '../replication/replication-fault.ts'
import type { EntryRefusal } from './change-entry.ts'
import type { FeedChannel } from './feed-channel.ts'
import type { FeedDatabase } from '../decide/feed-database.ts'
import { delay, type FeedRuntime } from '../feed-runtime.ts'
import { replay, type Replayer, type ReplayOutcome } from './replay.ts'
import { planSubscriptions } from './subscribe-plan.ts'
import type { Subscriptions } from './subscriptions.ts'

/** Answers of the database that were refused or lost are asked for again after so long, and up to twice that. */
const SUBSCRIBE_RETRY_MS = 5_000
const READY = 'Subscribed to PostgreSQL'
const UNAVAILABLE: ChangesFault = {
  code: 'database-unavailable',
  hint: 'The server tries again by itself. If this lasts, look at its log.',
}

export interface SubscribingOptions {
  readonly database: FeedDatabase
  readonly runtime: FeedRuntime
  readonly subscriptions: Subscriptions
  readonly replayer: Replayer
  /** How many channels may replay at once. */
  readonly maxReplays: number
}

/** Takes channels from their request to "Subscribed to PostgreSQL": from then on nothing that is committed passes them by. */
export class Subscribing {
  readonly #options: SubscribingOptions
  #ready: (() => void)[] = []
  /** Those that wait for the first stream, and why there is none; `null`: it is not known yet. */
  readonly #waiting = new Set<FeedChannel>()
  #why: string | null = null
  #replays = 0
  /** Channels that wait until fewer are replayed to. */
  readonly #line: (() => void)[] = []
  #closed = false

  constructor(options: SubscribingOptions) {
    this.#options = options
  }

  /** Never rejects: the channel is told how it went, and how it goes on. */
  async subscribe(channel: FeedChannel): Promise<void> {
    const { database, runtime, subscriptions } = this.#options
    for (;;) {
      const { generation } = channel
      try {
        await this.#epochKnown(channel)
        const plan = await planSubscriptions(channel, database)
        if (channel.closed || this.#closed) return
        if (channel.generation !== generation) continue
        if (!plan.ok) return this.#refuse(channel, plan)
        subscriptions.replace(channel, plan.subscriptions)
        const startLsn = await database.insertLsn()
        if (channel.closed || this.#closed) return
        if (channel.generation !== generation) continue
        await this.#start(channel, startLsn)
        for (const { message, fault } of plan.withheld) channel.warnOnce(message, fault)
        for (const { message, fault } of plan.advice) channel.adviseOnce(message, fault)
        return
      } catch (error) {
        if (channel.closed || this.#closed) return
        channel.refuse(`Unable to subscribe to changes: the database does not answer (${codeOf(error)}). Trying again.`, UNAVAILABLE)
        await delay(runtime, SUBSCRIBE_RETRY_MS * (1 + runtime.random()))
      }
      if (channel.closed || this.#closed) return
    }
  }

  /** There is no stream yet: those who wait for it are told, and those who come. */
  waits(why: string): void {
    if (this.#options.replayer.epoch() !== null) return
    this.#why = why
    for (const channel of this.#waiting) channel.refuseOnce(why, UNAVAILABLE)
  }

  /** Channels that came before there was an epoch go on. */
  epochIsKnown(): void {
    const ready = this.#ready
    this.#ready = []
    for (const done of ready) done()
  }

  close(): void {
    this.#closed = true
    for (const next of this.#line.splice(0)) next()
    this.epochIsKnown()
  }

  /** The subscriptions are registered; `startLsn` was taken after that. */
  async #start(channel: FeedChannel, startLsn: Lsn): Promise<void> {
    const { since, positions } = channel.request
    const epoch = this.#options.replayer.epoch()
    const position = (place: Place): Record<string, string> =>
      positions && epoch !== null ? { position: formatPosition({ epoch, ...place }) } : {}
    const before = (lsn: Lsn): Place => ({ commitLsn: lsn - 1n, seq: 0 })
    if (channel.isSubscribed) return channel.tell('ok', READY, position(before(startLsn)))
    if (since === null) {
      channel.tell('ok', READY, position(before(startLsn)))
      return channel.startAfter(before(startLsn))
    }
    channel.replaying = true
    const resumed = await this.#resume(channel, since, startLsn)
    channel.replaying = false
    if (channel.closed) return
    if (resumed.recovered) return channel.tell('ok', READY, { ...position(channel.after ?? before(startLsn)), recovered: true })
    // What was committed while it was tried is not live yet either, so the beginning is later.
    channel.live = true
    const start = before(await this.#options.database.insertLsn())
    channel.tell('ok', READY, { ...position(start), recovered: false, reason: resumed.reason })
    channel.startAfter(start)
  }

  async #resume(channel: FeedChannel, since: string, startLsn: Lsn): Promise<ReplayOutcome> {
    const { replayer, maxReplays } = this.#options
    const parsed = parsePosition(since)
    if (!parsed.ok) return { recovered: false, reason: 'invalid-position' }
    if (parsed.position.epoch !== replayer.epoch()) return { recovered: false, reason: 'other-epoch' }
    if (parsed.position.commitLsn > startLsn) return { recovered: false, reason: 'position-ahead' }
    // Others are replayed to first; what this channel missed stays in the ring meanwhile, or it hears that it did not.
    while (this.#replays >= maxReplays && !channel.closed && !this.#closed) await new Promise<void>((next) => this.#line.push(next))
    this.#replays++
    try {
      return await replay(channel, parsed.position, startLsn, replayer)
    } finally {
      this.#replays--
      this.#line.shift()?.()
    }
  }

  #refuse(channel: FeedChannel, { message, fault }: EntryRefusal): void {
    this.#options.subscriptions.remove(channel)
    channel.refuse(message, fault)
  }

  async #epochKnown(channel: FeedChannel): Promise<void> {
    if (this.#options.replayer.epoch() !== null || this.#closed) return
    if (this.#why !== null) channel.refuseOnce(this.#why, UNAVAILABLE)
    this.#waiting.add(channel)
    await new Promise<void>((resolve) => this.#ready.push(resolve))
    this.#waiting.delete(channel)
  }
}

function codeOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' ? code : 'no connection'
}

/** For clients: nothing of what the database or the network said, which may name hosts and users. */
export function waitingText(fault: ReplicationFault): string {
  return `Unable to subscribe to changes: ${WAITING[fault.kind]}. Trying again.`
}

const WAITING: Readonly<Record<ReplicationFault['kind'], string>> = {
  unreachable: 'the database does not answer',
  restarting: 'the database is starting or stopping',
  'slot-held': 'another server prepares the changes of this database',
  'slot-lost': 'the database has lost its place in the changes',
  exhausted: 'the database has no free replication slot or session',
  'publication-changed': 'a publication of the database has changed',
  refused: 'the database refuses to give its changes',
  silent: 'the database does not answer',
  'malformed-stream': 'the database sends what cannot be read',
}
