import { RealtimeError } from '@tidewire/protocol'
import { startServer, type RunningServer, type StartOptions } from '@tidewire/server'

const DEFAULT_PORT = 4000
const PORTS_TRIED = 20

/** Listens on the given port; without one on 4000, or the next that is free. */
export async function listenSomewhere(options: StartOptions, port: number | undefined): Promise<RunningServer> {
  if (port !== undefined) return startServer({ ...options, port })
  for (let candidate = DEFAULT_PORT; ; candidate++) {
    try {
      return await startServer({ ...options, port: candidate })
    } catch (error) {
      const isTaken = error instanceof RealtimeError && error.code === 'port-in-use'
      if (!isTaken || candidate === DEFAULT_PORT + PORTS_TRIED - 1) throw error
    }
  }
}

/** What to say when the server is not where one would look for it; `null` when it is. */
export function detour(asked: number | undefined, got: number): string | null {
  return asked === undefined && got !== DEFAULT_PORT ? `Port ${DEFAULT_PORT} is taken, so this is ${got}.` : null
}
