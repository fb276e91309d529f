import type { Runtime, TimerHandle } from '@tidewire/server'

/** The server's clock, timers and randomness, moved by hand. */
export class ServerRuntime implements Runtime {
  #now = 1_800_000_000_000
  #uptime = 0
  #random = 0
  #turnEnds: (() => void)[] = []
  readonly #timers = new Set<{ readonly at: number; readonly callback: () => void }>()
  utilization = 0

  now(): number {
    return this.#now
  }

  uptime(): number {
    return this.#uptime
  }

  setTimer(callback: () => void, afterMs: number): TimerHandle {
    const timer = { at: this.#uptime + afterMs, callback }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  endOfTurn(callback: () => void): void {
    this.#turnEnds.push(callback)
  }

  loopUtilization(): number {
    return this.utilization
  }

  randomBytes(size: number): Uint8Array {
    return Uint8Array.from({ length: size }, () => (this.#random = (this.#random * 48_271 + 11) % 2_147_483_647) & 0xff)
  }

  get armedTimers(): number {
    return this.#timers.size
  }

  /** Ends the turn: what was to run at its end runs. */
  endTurn(): void {
    const ends = this.#turnEnds
    this.#turnEnds = []
    for (const end of ends) end()
  }

  /** Lets time pass; timers fire in order. */
  advance(ms: number): void {
    const until = this.#uptime + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#now += due.at - this.#uptime
      this.#uptime = due.at
      due.callback()
    }
    this.#now += until - this.#uptime
    this.#uptime = until
  }

  /** The wall clock jumps; intervals do not notice. */
  jumpClock(ms: number): void {
    this.#now += ms
  }
}
