import type { ServerMessage, ServerRequest } from '../messages.ts'

export interface Serving {
  readonly port: number
  /** For the URL; empty when the server asks for none. */
  readonly apiKey?: string
  /** Of its processes, where it is not this one alone. */
  readonly pids?: readonly number[]
  stop(): Promise<unknown>
  /** So far, where it is known. */
  deliveries?(): number
  /** How long the event loop stood still at most since the last call, where that is watched. */
  takeLongestDelayMs?(): number
  /** CPU time of the longest turn since the last call, where that is watched. */
  takeLongestTurnMs?(): number
  /** Where an inspector may look on, or not. */
  watch?(isWatched: boolean): Promise<void>
}

/** Runs a server in this process for the benchmark that started it, and ends with it. */
export async function serve(start: () => Promise<Serving>): Promise<void> {
  process.once('disconnect', () => process.exit())
  const serving = await start()
  process.on('message', (request: ServerRequest) => {
    if (request === 'usage') {
      const { user, system } = process.cpuUsage()
      tell({
        kind: 'usage',
        cpuMicros: user + system,
        rssBytes: process.memoryUsage.rss(),
        mostRssBytes: process.resourceUsage().maxRSS * 1024,
        ...(serving.deliveries === undefined ? {} : { deliveries: serving.deliveries() }),
        ...(serving.takeLongestDelayMs === undefined ? {} : { longestDelayMs: serving.takeLongestDelayMs() }),
        ...(serving.takeLongestTurnMs === undefined ? {} : { longestTurnMs: serving.takeLongestTurnMs() }),
      })
    } else if (request === 'watch' || request === 'unwatch') {
      void serving.watch?.(request === 'watch').then(() => tell({ kind: 'done' }))
    } else void serving.stop().finally(() => process.exit())
  })
  tell({ kind: 'ready', port: serving.port, apiKey: serving.apiKey ?? '', ...(serving.pids && { pids: serving.pids }) })
}

/** Without anybody to tell, there is nothing to serve for. */
function tell(message: ServerMessage): void {
  if (process.connected) process.send?.(message)
  else process.exit()
}
