/** Clock, timers and chance. Times are milliseconds. */
export interface Runtime {
  /** Wall clock, Unix milliseconds. May jump. */
  now(): number
  /** Monotonic milliseconds, for intervals. */
  uptime(): number
  setTimer(callback: () => void, afterMs: number): TimerHandle
  /** Runs once, when the event loop has read everything that is ready now. */
  endOfTurn(callback: () => void): void
  /** The share of time the loop was busy of late, 0 to 1. */
  loopUtilization(): number
  randomBytes(size: number): Uint8Array
}

/** A timer that may still be taken back. */
export interface TimerHandle {
  cancel(): void
}
