import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ServerMessage, ServerRequest } from '../messages.ts'

export interface Serving {
  readonly port: number
  /** The key for the URL; empty when the server needs none. */
  readonly apiKey?: string
  /** Its processes, where it is not this one alone. */
  readonly pids?: readonly number[]
  stop(): Promise<unknown>
  /** Deliveries so far, where known. */
  deliveries?(): number
  /** How long the event loop stood still at most since the last call, where that is watched. */
  takeLongestDelayMs?(): number
  /** CPU time of the longest turn since the last call, where that is watched. */
  takeLongestTurnMs?(): number
  /** Opens or closes an inspector. */
  watch?(isWatched: boolean): Promise<void>
}

/** Runs a server in this process for the benchmark that started it, and ends with it. */
export async function serve(start: () => Promise<Serving>): Promise<void> {
  process.once('disconnect', () => process.exit())
  const serving = await start()
  process.on('message', (request: ServerRequest) => {
    if (request === 'usage') {
      const { user, system } = process.cpuUsage()
      report({
        kind: 'usage',
        cpuMicros: user + system,
        rssBytes: process.memoryUsage.rss(),
        mostRssBytes: process.resourceUsage().maxRSS * 1024,
        ...(serving.deliveries === undefined ? {} : { deliveries: serving.deliveries() }),
        ...(serving.takeLongestDelayMs === undefined ? {} : { longestDelayMs: serving.takeLongestDelayMs() }),
        ...(serving.takeLongestTurnMs === undefined ? {} : { longestTurnMs: serving.takeLongestTurnMs() }),
      })
    } else if (request === 'heap') report({ kind: 'heap', bytes: liveHeapBytes() })
    else if (request === 'watch' || request === 'unwatch') {
      void serving.watch?.(request === 'watch').then(() => report({ kind: 'done' }))
    } else void serving.stop().finally(() => process.exit())
  })
  report({ kind: 'ready', port: serving.port, apiKey: serving.apiKey ?? '', ...(serving.pids && { pids: serving.pids }) })
}

/** What a server keeps. RSS also holds what V8 has not collected yet, which differs by a third from run to run. */
function liveHeapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}

/** Without the process that started it, it ends. */
function report(message: ServerMessage): void {
  if (process.connected) process.send?.(message)
  else process.exit()
}
