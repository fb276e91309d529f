/** Upper bounds of the waits before attempts 1, 2, 3, …; the last one holds for all later attempts. Milliseconds. */
const STEPS_MS = [1000, 2000, 5000, 10_000]

/**
 * How long to wait before attempt number `attempt` (from 1). Full jitter: anywhere between zero and the step, so that
 * clients that lost their server together do not come back together.
 */
export function fullJitterMs(attempt: number, random: number): number {
  return Math.round(random * STEPS_MS[Math.min(attempt, STEPS_MS.length) - 1]!)
}
