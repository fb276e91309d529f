import type { Handler } from 'hono'
import { checkClaims, normalizeToken } from '../../auth/token.ts'
import type { Runtime, TokenVerifier } from '../../ports.ts'
import { bearerToken } from './http-identity.ts'

/** Metrics in a text format of Prometheus. */
export interface MetricsText {
  readonly contentType: string
  text(): Promise<string>
}

/**
 * Gives metrics to callers with a token that the verifier accepts and that is not expired, or to all callers without a
 * verifier. A scraper's token may live for ever and needs no role.
 */
export function metricsEndpoint(metrics: MetricsText, verifier: TokenVerifier | null, runtime: Pick<Runtime, 'now'>): Handler {
  return async (c) => {
    if (verifier !== null && !(await isGood(bearerToken(c.req.header('authorization')), verifier, runtime))) return c.body(null, 403)
    return c.body(await metrics.text(), 200, { 'content-type': metrics.contentType })
  }
}

async function isGood(token: string | undefined, verifier: TokenVerifier, runtime: Pick<Runtime, 'now'>): Promise<boolean> {
  if (token === undefined) return false
  const verified = await verifier.verify(normalizeToken(token))
  if (!verified.ok) return false
  const checked = checkClaims(verified.claims, runtime.now())
  return checked.ok || checked.refusal.code === 'incomplete'
}
