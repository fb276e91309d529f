import type { TimerPort } from '@tidewire/protocol'

export type { TimerHandle } from '@tidewire/protocol'

/** Clock, timers and randomness. Times are milliseconds. */
export interface Runtime extends TimerPort {
  /** Wall clock, Unix milliseconds. May jump. */
  now(): number
  /** Monotonic milliseconds, for intervals. */
  uptime(): number
  /** Runs once, when the event loop has read everything that is ready now. */
  endOfTurn(callback: () => void): void
  /** The share of time that the event loop was busy recently, 0 to 1. */
  loopUtilization(): number
  randomBytes(size: number): Uint8Array
}
