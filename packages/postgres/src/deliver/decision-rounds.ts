import type { DecisionFault } from '../decide/decision.ts'
import { subscribersOf, type PendingDelivery } from '../subscribe/audience.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import type { Outcome } from './outcome.ts'

/** A client that renews its token without end would otherwise keep all others waiting. */
const MAX_ROUNDS = 10

/**
 * Decisions about the same changes, one after the other: channels that get another identity while they are decided about are decided
 * about again. Only the last decision about a channel counts.
 */
export class DecisionRounds {
  readonly outcomes: Outcome[] = []
  /** By `PendingDelivery.only`. A delivery without it is of the first round. */
  readonly #rounds = new Map<PendingDelivery['only'], number>()
  /** The last round of a channel. A channel that is not in it has the first alone. */
  readonly #last = new Map<FeedChannel, number>()
  #round = 0

  /** Faults of decisions that count. One about no subscriber counts, too. */
  get faults(): DecisionFault[] {
    const faults = this.outcomes.flatMap((outcome) => outcome.faults)
    if (this.#last.size === 0) return faults
    const isCounted = (delivery: PendingDelivery): boolean => {
      const subscribers = [...subscribersOf(delivery)]
      return subscribers.length === 0 || subscribers.some(({ channel }) => this.counts(delivery, channel))
    }
    return faults.filter(({ deliveries }) => deliveries.some(isCounted))
  }

  /** Begins another round, for these channels. Returns `false` after too many: no decision of the rounds counts for these channels. */
  begin(channels: Iterable<FeedChannel>): boolean {
    const isOver = ++this.#round > MAX_ROUNDS
    for (const channel of channels) this.#last.set(channel, isOver ? Infinity : this.#round)
    return !isOver
  }

  /** Adds what was decided in this round. `pending`: its deliveries, but for those of whole audiences. */
  add(pending: readonly PendingDelivery[], outcome: Outcome): void {
    for (const { only } of pending) this.#rounds.set(only, this.#round)
    this.outcomes.push(outcome)
  }

  /** Whether the decision about the delivery is the last one about the channel. */
  counts({ only }: PendingDelivery, channel: FeedChannel): boolean {
    return (this.#last.get(channel) ?? 0) === (this.#rounds.get(only) ?? 0)
  }
}
