import type { TimerHandle } from '@tidewire/protocol'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'

/** A channel that misses change after change is notified this often. */
const MIN_INTERVAL_MS = 1_000

/** Channels that miss changes for a while. Each is notified of the gap at once, and again at the end of the while if it may have missed more. */
export class MissedChanges {
  readonly #runtime: FeedRuntime
  /** Whether the channel may have missed more since it was notified. */
  readonly #channels = new Map<FeedChannel, boolean>()
  readonly #timers = new Set<TimerHandle>()

  constructor(runtime: FeedRuntime) {
    this.#runtime = runtime
  }

  /** Changes of these channels are withheld. `forMs`: for how long others may be, too. */
  add(channels: Iterable<FeedChannel>, forMs: number): void {
    const news = new Set<FeedChannel>()
    for (const channel of channels) {
      channel.withhold(this)
      if (news.has(channel)) continue
      if (this.#channels.has(channel)) {
        this.#channels.set(channel, true)
        continue
      }
      news.add(channel)
      this.#channels.set(channel, forMs > 0)
      channel.gap('withheld')
    }
    if (news.size === 0) return
    const timer = this.#runtime.setTimer(() => this.#end(timer, news), Math.max(forMs, MIN_INTERVAL_MS))
    this.#timers.add(timer)
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel()
  }

  #end(timer: TimerHandle, channels: Iterable<FeedChannel>): void {
    this.#timers.delete(timer)
    for (const channel of channels) {
      const missedMore = this.#channels.get(channel)!
      this.#channels.delete(channel)
      channel.release(this)
      if (missedMore) channel.gap('withheld')
    }
  }
}
