import { RealtimeError } from '@tidewire/protocol'
import { startServer, type RunningServer, type StartOptions } from '@tidewire/server'

const USUAL_PORT = 4000
const PORTS_TRIED = 20

/** Listens on the given port; without one on the usual one, or the next that is free. */
export async function listenSomewhere(options: StartOptions, port: number | undefined, usual: number = USUAL_PORT): Promise<RunningServer> {
  if (port !== undefined) return startServer({ ...options, port })
  for (let candidate = usual; ; candidate++) {
    try {
      return await startServer({ ...options, port: candidate })
    } catch (error) {
      const isTaken = error instanceof RealtimeError && error.code === 'port-in-use'
      if (!isTaken || candidate === usual + PORTS_TRIED - 1) throw error
    }
  }
}

/** A sentence when the server is not on the expected port; `null` when it is. */
export function detour(asked: number | undefined, got: number, usual: number = USUAL_PORT): string | null {
  return asked === undefined && got !== usual ? `Port ${usual} is taken, so this is ${got}.` : null
}
