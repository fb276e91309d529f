/** Clock, timers and chance. Times are milliseconds. */
export interface FeedRuntime {
  /** Monotonic. */
  uptime(): number
  setTimer(callback: () => void, afterMs: number): { cancel(): void }
  /** Calls back when everybody else has had a turn of the event loop. */
  endOfTurn(callback: () => void): void
  /** From 0 to 1. */
  random(): number
}

export function delay(runtime: FeedRuntime, ms: number): Promise<void> {
  return new Promise((resolve) => void runtime.setTimer(resolve, ms))
}
