/** Clock, timers and randomness. Times are milliseconds. */
export interface Runtime {
  /** Wall clock, Unix milliseconds. May jump. */
  now(): number
  /** Monotonic milliseconds, for intervals. */
  uptime(): number
  setTimer(callback: () => void, afterMs: number): TimerHandle
  /** Runs once, when the event loop has read everything that is ready now. */
  endOfTurn(callback: () => void): void
  /** The share of time that the event loop was busy recently, 0 to 1. */
  loopUtilization(): number
  randomBytes(size: number): Uint8Array
}

/** A timer that can be cancelled. */
export interface TimerHandle {
  cancel(): void
}
