import { randomBytes } from 'node:crypto'
import type { Runtime } from '@tidewire/server'

/** The clock, timers and randomness of this process. */
export function nodeTestRuntime(): Runtime {
  return {
    now: () => Date.now(),
    uptime: () => performance.now(),
    setTimer(callback, afterMs) {
      const timer = setTimeout(callback, afterMs)
      return { cancel: () => clearTimeout(timer) }
    },
    endOfTurn: (callback) => void setImmediate(callback),
    loopUtilization: () => 0,
    randomBytes: (size) => randomBytes(size),
  }
}
