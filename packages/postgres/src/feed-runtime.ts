import type { TimerHandle, TimerPort } from '@tidewire/protocol'

/** Clock, timers and randomness. Times are milliseconds. */
export interface FeedRuntime extends TimerPort {
  /** Monotonic. */
  uptime(): number
  endOfTurn(callback: () => void): void
  /** From 0 to 1. */
  random(): number
}

export function every(runtime: TimerPort, ms: number, work: () => void): TimerHandle {
  let timer: TimerHandle
  const arm = (): void => {
    timer = runtime.setTimer(() => {
      arm()
      work()
    }, ms)
  }
  arm()
  return { cancel: () => timer.cancel() }
}

export function delay(runtime: FeedRuntime, ms: number): Promise<void> {
  return new Promise((resolve) => void runtime.setTimer(resolve, ms))
}

export function endOfTurn(runtime: FeedRuntime): Promise<void> {
  return new Promise((resolve) => runtime.endOfTurn(resolve))
}
