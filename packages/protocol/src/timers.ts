/** Timers: the platform's, or those of a clock that a test moves by hand. */
export interface TimerPort {
  /** Calls `run` once, `afterMs` milliseconds from now. */
  setTimer(run: () => void, afterMs: number): TimerHandle
}

/** A timer that may still be taken back. Afterwards `cancel` does nothing. */
export interface TimerHandle {
  cancel(): void
}
