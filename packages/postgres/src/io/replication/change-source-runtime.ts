import type { ChangeSourceRuntime } from '../../replication/change-source-api.ts'

/** Node's timers and chance. */
export const changeSourceRuntime: ChangeSourceRuntime = {
  setTimer: (callback, afterMs) => {
    const timer = setTimeout(callback, afterMs)
    return { cancel: () => clearTimeout(timer) }
  },
  random: Math.random,
}
