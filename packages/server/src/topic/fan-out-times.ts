import type { Runtime } from '../ports/runtime.ts'

/**
 * How long messages take, from the frame that brings one to the last write of it. A frame is read and fanned out in one
 * go, so its arrival is kept in one place; the clock is read only while an observer asks for it.
 */
export class FanOutTimes {
  readonly #runtime: Pick<Runtime, 'uptime'>
  /** Called with milliseconds; `null`: not measured. */
  measured: ((ms: number) => void) | null = null
  #frameAt: number | null = null

  constructor(runtime: Pick<Runtime, 'uptime'>) {
    this.#runtime = runtime
  }

  /** `at`: the arrival of a frame that was read in steps. */
  frameBegins(at?: number): void {
    if (this.measured !== null) this.#frameAt = at ?? this.#runtime.uptime()
  }

  frameEnds(): void {
    this.#frameAt = null
  }

  /** When the current message arrived, or `null` while nothing is measured. A message that did not come by a frame arrives now. */
  begin(): number | null {
    return this.measured === null ? null : (this.#frameAt ?? this.#runtime.uptime())
  }

  /** The messages that arrived at these times are written. */
  written(since: readonly number[]): void {
    const { measured } = this
    if (measured === null) return
    const now = this.#runtime.uptime()
    for (const at of since) measured(now - at)
  }
}
