import type { TimerHandle, TimerPort } from '@tidewire/protocol'

/** Timers hold 31 bits; longer ones fire at once. Milliseconds. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1

/** The effect of a machine on its one timer. */
export interface Timer {
  readonly type: 'timer'
  /** `null` disarms it. */
  readonly afterMs: number | null
}

/** Sets or clears the one timer of a machine. */
export function arm(afterMs: number | null): Timer {
  return { type: 'timer', afterMs }
}

/** One timer that is set again or cleared. */
export function singleTimer(port: TimerPort, fired: () => void): (afterMs: number | null) => void {
  let timer: TimerHandle | undefined
  return (afterMs) => {
    timer?.cancel()
    timer = afterMs === null ? undefined : port.setTimer(fired, afterMs)
  }
}
