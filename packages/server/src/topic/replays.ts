import type { Subscriber } from './subscriber.ts'

/** How long after a replay the live copy of a replayed message may still come. */
const LATE_COPIES_MS = 60_000

/** Remembers which stored messages were replayed to which subscribers, as long as live copies of them may come (rule R4). */
export class Replays {
  readonly #replays = new Map<Subscriber, { readonly ids: ReadonlySet<string>; readonly untilMs: number }>()

  add(subscriber: Subscriber, ids: ReadonlySet<string>, nowMs: number): void {
    if (ids.size > 0) this.#replays.set(subscriber, { ids, untilMs: nowMs + LATE_COPIES_MS })
  }

  forget(subscriber: Subscriber): void {
    if (this.#replays.size > 0) this.#replays.delete(subscriber)
  }

  /** The subscribers to which the message was replayed; `null` for none. */
  receiversOf(id: string, nowMs: number): ReadonlySet<Subscriber> | null {
    let receivers: Set<Subscriber> | null = null
    for (const [subscriber, { ids, untilMs }] of this.#replays) {
      if (nowMs >= untilMs) this.#replays.delete(subscriber)
      else if (ids.has(id)) (receivers ??= new Set()).add(subscriber)
    }
    return receivers
  }
}
