import type { TimerHandle } from '@tidewire/protocol'
import type { FeedRuntime } from '../feed-runtime.ts'
import type { FeedChannel } from '../subscribe/feed-channel.ts'

/** Channels that miss changes for a while. Each is notified of the gap at once, and again when the while is over. */
export class MissedChanges {
  readonly #runtime: FeedRuntime
  readonly #channels = new Set<FeedChannel>()
  readonly #timers = new Set<TimerHandle>()

  constructor(runtime: FeedRuntime) {
    this.#runtime = runtime
  }

  /** Changes of these channels are withheld. `forMs`: for how long others may be, too. */
  add(channels: Iterable<FeedChannel>, forMs: number): void {
    const news = [...channels].filter((channel) => !this.#channels.has(channel))
    if (news.length === 0) return
    for (const channel of news) {
      this.#channels.add(channel)
      channel.gap('withheld')
      channel.withhold(this)
    }
    const timer = this.#runtime.setTimer(() => {
      this.#timers.delete(timer)
      for (const channel of news) {
        this.#channels.delete(channel)
        channel.release(this)
        if (forMs > 0) channel.gap('withheld')
      }
    }, forMs)
    this.#timers.add(timer)
  }

  close(): void {
    for (const timer of this.#timers) timer.cancel()
  }
}
