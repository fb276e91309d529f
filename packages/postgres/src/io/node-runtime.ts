import type { FeedRuntime } from '../feed-runtime.ts'

export const nodeRuntime: FeedRuntime = {
  uptime: () => performance.now(),
  setTimer: (callback, afterMs) => {
    const timer = setTimeout(callback, afterMs)
    return { cancel: () => clearTimeout(timer) }
  },
  endOfTurn: (callback) => void setImmediate(callback),
  random: Math.random,
}
