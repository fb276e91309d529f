import type { Runtime } from '../ports.ts'
import type { Server } from '../server.ts'
import { pause } from './keep-alive.ts'

const STEP_MS = 50
/** At least so many sockets are closed at once; fewer would only make the stop longer. */
const LEAST_BATCH = 4
/** The share of the time in which sockets are closed. The rest is left to the closing handshakes. */
const CLOSING_SHARE = 0.6

interface DrainPlan {
  /** So many sockets are closed at once, and again after each pause. */
  readonly batch: number
  /** Over how much time that is. */
  readonly spreadMs: number
}

/** How so many sockets are closed. */
export function drainPlan(sockets: number, timeoutMs: number): DrainPlan {
  const steps = Math.max(1, Math.floor((timeoutMs * CLOSING_SHARE) / STEP_MS))
  const batch = Math.max(LEAST_BATCH, Math.ceil(sockets / steps))
  return { batch, spreadMs: Math.ceil(sockets / batch) * STEP_MS }
}

/**
 * Closes all sockets, spread over time: clients come back when they are closed, and a node that gets all of another one at once
 * would be slow for all of them. Resolves when they are gone, or when `timeoutMs` has passed.
 */
export async function drain(server: Pick<Server, 'drain' | 'connections'>, runtime: Runtime, timeoutMs: number): Promise<void> {
  const deadline = runtime.uptime() + timeoutMs
  const { batch } = drainPlan(server.connections.size, timeoutMs)
  while (server.drain(batch) > 0 && runtime.uptime() < deadline) await pause(STEP_MS)
  // Where timers were late, sockets are left: each is closed properly before it is cut.
  server.drain()
}
