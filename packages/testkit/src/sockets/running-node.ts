import type { JsonObject } from '@tidewire/protocol'
import { allObservers, noLimits, startServer, tokenVerifier, type Decision, type RunningServer, type StartOptions } from '@tidewire/server'
import { RECORDED_SECRET, signToken } from '../recording/tokens.ts'

/** A real server on a free port of 127.0.0.1, with what a test needs to be its client. */
export interface RunningNode extends RunningServer {
  /** The URL for a Supabase client: `http://127.0.0.1:port/realtime/v1` with the scheme of WebSockets. */
  readonly socketUrl: string
  readonly anonKey: string
  readonly serviceKey: string
  readonly decisions: readonly Decision[]
  /** A token that is good for an hour unless the claims say otherwise. */
  token(claims: JsonObject): string
}

/** Starts a node without limits, on any free port. Stop it when the test is done. */
export async function startNode(options: Partial<StartOptions> = {}): Promise<RunningNode> {
  const decisions: Decision[] = []
  const running = await startServer({
    port: 0,
    verifier: tokenVerifier({ secret: RECORDED_SECRET }),
    limits: noLimits,
    observer: { ...allObservers([]), decision: (decision) => void decisions.push(decision) },
    ...options,
  })
  const token = (claims: JsonObject): string => signToken({ exp: Math.floor(Date.now() / 1000) + 3_600, ...claims }, RECORDED_SECRET)
  return {
    ...running,
    socketUrl: `${running.url.replace('http', 'ws')}/realtime/v1`,
    anonKey: token({ role: 'anon' }),
    serviceKey: token({ role: 'service_role' }),
    decisions,
    token,
  }
}
