import type { TimerHandle } from '@tidewire/protocol'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { LogPosition } from '../replication/position.ts'
import { subscriberKey, type Subscription } from '../subscribe/audience.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'
import type { FeedWindow } from '../subscribe/resume/feed-window.ts'

/**
 * Channels that miss changes. Each is notified of the gap at once, and again when nothing more is withheld from it. What goes by its
 * side may take the client to later positions, so a client that comes back from one of them is not told that it has everything.
 */
export class MissedChanges {
  readonly #window: Pick<FeedWindow, 'ring' | 'head'>
  readonly #runtime: FeedRuntime
  /** Channels that may miss more, each with its subscriptions of which it does, and their keys. */
  readonly #missing = new Map<FeedChannel, Map<Subscription, string>>()
  /** By key, how many subscriptions may miss more. */
  readonly #open = new Map<string, number>()
  readonly #timers = new Set<TimerHandle>()

  constructor(window: Pick<FeedWindow, 'ring' | 'head'>, runtime: FeedRuntime) {
    this.#window = window
    this.#runtime = runtime
  }

  /** Changes of these subscriptions are withheld. `forMs`: for how long others may be, too. */
  add(subscriptions: Iterable<Subscription>, forMs: number): void {
    const news: FeedChannel[] = []
    for (const subscription of subscriptions) {
      const { channel } = subscription
      let keys = this.#missing.get(channel)
      if (keys === undefined) {
        this.#missing.set(channel, (keys = new Map()))
        news.push(channel)
      }
      if (keys.has(subscription)) continue
      const key = subscriberKey(subscription)
      keys.set(subscription, key)
      this.#open.set(key, (this.#open.get(key) ?? 0) + 1)
    }
    if (news.length === 0) return
    for (const channel of news) channel.gap('withheld')
    const timer = this.#runtime.setTimer(() => {
      this.#timers.delete(timer)
      for (const channel of news) this.#end(channel)
      if (forMs > 0) for (const channel of news) channel.gap('withheld')
    }, forMs)
    this.#timers.add(timer)
  }

  addAll(channels: Iterable<FeedChannel>): void {
    this.add(
      [...channels].flatMap(({ subscriptions }) => [...subscriptions]),
      0,
    )
  }

  /** Whether the channel's user may have missed something after that position. */
  after(position: LogPosition, { subscriptions }: FeedChannel): boolean {
    const { ring } = this.#window
    if (this.#open.size === 0 && !ring.hasGaps) return false
    for (const subscription of subscriptions) {
      const key = subscriberKey(subscription)
      if (this.#open.has(key) || ring.gapAfter(position, key) !== null) return true
    }
    return false
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel()
  }

  #end(channel: FeedChannel): void {
    for (const key of this.#missing.get(channel)?.values() ?? []) {
      const others = this.#open.get(key)! - 1
      if (others > 0) this.#open.set(key, others)
      else this.#open.delete(key)
      this.#window.ring.markGap([key], this.#window.head, 'withheld')
    }
    this.#missing.delete(channel)
  }
}
