import type { FeedRuntime } from './feed-runtime.ts'

/** A part that has work now and then. */
export interface WatchedPart {
  /** In a sentence: `<name> has made no progress for 10 s`. */
  readonly name: string
  hasWork(): boolean
  /** Grows whenever something is done. */
  progressed(): number
  /** Why it stands still, where that is known. */
  trouble(): string | null
}

export interface StuckPart {
  readonly name: string
  readonly reason: string
}

const PROBE_INTERVAL_MS = 1_000

/** Finds parts that have work and make no progress: nothing stands still in silence. */
export class Watchdog {
  readonly #runtime: FeedRuntime
  readonly #parts: readonly WatchedPart[]
  readonly #limitMs: number
  readonly #onStuck: (part: StuckPart) => void
  readonly #last = new Map<WatchedPart, { progressed: number; atMs: number; reported: boolean }>()
  #timer: { cancel(): void } | null = null

  /** `onStuck` is called once each time that a part gets stuck. */
  constructor(runtime: FeedRuntime, parts: readonly WatchedPart[], limitMs: number, onStuck: (part: StuckPart) => void) {
    this.#runtime = runtime
    this.#parts = parts
    this.#limitMs = limitMs
    this.#onStuck = onStuck
    this.#arm()
  }

  get stuck(): StuckPart[] {
    return this.#parts.filter((part) => this.#last.get(part)?.reported === true).map((part) => this.#describe(part))
  }

  close(): void {
    this.#timer?.cancel()
  }

  #arm(): void {
    this.#timer = this.#runtime.setTimer(() => {
      for (const part of this.#parts) this.#probe(part)
      this.#arm()
    }, PROBE_INTERVAL_MS)
  }

  #probe(part: WatchedPart): void {
    const nowMs = this.#runtime.uptime()
    const progressed = part.progressed()
    const last = this.#last.get(part)
    if (last === undefined || last.progressed !== progressed || !part.hasWork()) {
      this.#last.set(part, { progressed, atMs: nowMs, reported: false })
    } else if (!last.reported && nowMs - last.atMs >= this.#limitMs) {
      last.reported = true
      this.#onStuck(this.#describe(part))
    }
  }

  #describe(part: WatchedPart): StuckPart {
    const trouble = part.trouble()
    const stalled = `${part.name} has made no progress for ${Math.round(this.#limitMs / 1_000)} s`
    return { name: part.name, reason: trouble === null ? stalled : `${stalled}: ${trouble}` }
  }
}
