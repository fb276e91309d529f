import type { TimerHandle } from '@tidewire/protocol'
import { every, type FeedRuntime } from './feed-runtime.ts'

export interface WatchedPart {
  readonly hasWork: boolean
  /** Grows whenever something is done. */
  readonly progressed: number
  readonly trouble?: string | null
}

const PROBE_INTERVAL_MS = 1_000

/** Finds parts that have work and make no progress: nothing stands still in silence. */
export class Watchdog {
  readonly #runtime: FeedRuntime
  readonly #parts: ReadonlyMap<string, WatchedPart>
  readonly #limitMs: number
  readonly #onStuck: (reason: string) => void
  readonly #last = new Map<string, { readonly progressed: number; readonly atMs: number; reported: boolean }>()
  readonly #timer: TimerHandle

  /** Names make sentences: `<name> has made no progress for 10 s`. `onStuck` is called once each time that a part gets stuck. */
  constructor(runtime: FeedRuntime, parts: ReadonlyMap<string, WatchedPart>, limitMs: number, onStuck: (reason: string) => void) {
    this.#runtime = runtime
    this.#parts = parts
    this.#limitMs = limitMs
    this.#onStuck = onStuck
    this.#timer = every(runtime, PROBE_INTERVAL_MS, () => {
      for (const [name, part] of parts) this.#probe(name, part)
    })
  }

  /** By name, what is stuck, with a sentence that says so. */
  get stuck(): ReadonlyMap<string, string> {
    const names = [...this.#parts.keys()].filter((name) => this.#last.get(name)?.reported === true)
    return new Map(names.map((name) => [name, this.#describe(name)]))
  }

  close(): void {
    this.#timer.cancel()
  }

  #probe(name: string, { hasWork, progressed }: WatchedPart): void {
    const nowMs = this.#runtime.uptime()
    const last = this.#last.get(name)
    if (last === undefined || last.progressed !== progressed || !hasWork) {
      this.#last.set(name, { progressed, atMs: nowMs, reported: false })
    } else if (!last.reported && nowMs - last.atMs >= this.#limitMs) {
      last.reported = true
      this.#onStuck(this.#describe(name))
    }
  }

  #describe(name: string): string {
    const trouble = this.#parts.get(name)?.trouble ?? null
    const stalled = `${name} has made no progress for ${Math.round(this.#limitMs / 1_000)} s`
    return trouble === null ? stalled : `${stalled}: ${trouble}`
  }
}
