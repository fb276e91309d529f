import type { Runtime } from '../ports.ts'
import type { Server } from '../server.ts'
import { pause } from './keep-alive.ts'

const STEP_MS = 50
/** The least sockets that are closed at once; fewer would only make the stop longer. */
const LEAST_BATCH = 4
/** The share of the time in which sockets are closed. The rest is left to the closing handshakes. */
const CLOSING_SHARE = 0.6

interface DrainPlan {
  /** How many sockets are closed at once, and again after each pause. */
  readonly batch: number
  /** The time from the first close to the last. */
  readonly spreadMs: number
}

/** Spreads the closing of `sockets` sockets over a part of `timeoutMs`. */
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
  // Late timers leave sockets open: each gets a close frame before it is cut.
  server.drain()
}
