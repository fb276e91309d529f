import { randomBytes } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Runtime, TimerHandle } from '../ports.ts'

/** Node fires timers with a longer delay at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1

const SAMPLE_MS = 50

/**
 * The runtime on Node. Timers keep no process alive: listeners and sockets do that, and once they are closed no
 * timer has anything to do.
 */
export function nodeRuntime(): Runtime {
  return {
    now: () => Date.now(),
    uptime: () => performance.now(),
    setTimer,
    endOfTurn: (callback) => void setImmediate(callback),
    loopUtilization: loopUtilizationSampler(),
    randomBytes: (size) => randomBytes(size),
  }
}

function setTimer(callback: () => void, afterMs: number): TimerHandle {
  let timer: NodeJS.Timeout
  const arm = (remainingMs: number): void => {
    const delay = Math.min(remainingMs, LONGEST_DELAY_MS)
    timer = setTimeout(() => (remainingMs > delay ? arm(remainingMs - delay) : callback()), delay)
    timer.unref()
  }
  arm(afterMs)
  return { cancel: () => clearTimeout(timer) }
}

/** Samples the utilization: one reading costs about a microsecond, and it is asked for once a turn. */
function loopUtilizationSampler(): () => number {
  let last = performance.eventLoopUtilization()
  let lastAt = performance.now()
  let utilization = 0
  return () => {
    const now = performance.now()
    if (now - lastAt >= SAMPLE_MS) {
      const current = performance.eventLoopUtilization()
      utilization = performance.eventLoopUtilization(current, last).utilization
      last = current
      lastAt = now
    }
    return utilization
  }
}
