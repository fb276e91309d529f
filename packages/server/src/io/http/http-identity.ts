import type { Context } from 'hono'
import { checkClaims, normalizeToken, type RequiredClaims, type TokenRefusal } from '../../auth/token.ts'
import type { Identity, Runtime, TokenVerifier } from '../../ports.ts'

export interface HttpIdentityDeps {
  readonly verifier: TokenVerifier
  readonly runtime: Pick<Runtime, 'now'>
  readonly requiredClaims?: RequiredClaims | undefined
}

export type HttpIdentity = { readonly ok: true; readonly identity: Identity } | { readonly ok: false; readonly refusal: TokenRefusal }

/** Who calls: by the bearer token, else by the header `apikey`. */
export async function httpIdentity(c: Context, deps: HttpIdentityDeps): Promise<HttpIdentity> {
  const token = bearerToken(c) ?? c.req.header('apikey')
  if (token === undefined || token === '') return { ok: false, refusal: { code: 'missing' } }
  const verified = await deps.verifier.verify(normalizeToken(token))
  if (!verified.ok) return { ok: false, refusal: verified.fault }
  const checked = checkClaims(verified.claims, deps.runtime.now(), deps.requiredClaims)
  if (!checked.ok) return checked
  return { ok: true, identity: { role: checked.role, claims: checked.claims, headers: c.req.header() } }
}

/** The token of the header `Authorization`. An opaque API key there says nothing about its sender, as in a channel. */
export function bearerToken(c: Context): string | undefined {
  const token = /^bearer\s+(.+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
  return token?.startsWith('sb_') ? undefined : token
}
