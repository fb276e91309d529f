import type { IncomingHttpHeaders } from 'node:http'
import { checkClaims, normalizeToken, type RequiredClaims, type TokenRefusal } from '../../auth/token.ts'
import type { Identity, Runtime, TokenVerifier } from '../../ports.ts'

export interface HttpIdentityDeps {
  readonly verifier: TokenVerifier
  readonly runtime: Pick<Runtime, 'now'>
  readonly requiredClaims?: RequiredClaims | undefined
}

export type HttpIdentity =
  | { readonly ok: true; readonly identity: Identity; readonly token: string }
  | { readonly ok: false; readonly refusal: TokenRefusal }

/** The caller: by the bearer token, else by the header `apikey`. */
export async function httpIdentity(headers: IncomingHttpHeaders, deps: HttpIdentityDeps): Promise<HttpIdentity> {
  const given = bearerToken(headers.authorization) ?? headers['apikey']
  if (typeof given !== 'string' || given === '') return { ok: false, refusal: { code: 'missing' } }
  const token = normalizeToken(given)
  const verified = await deps.verifier.verify(token)
  if (!verified.ok) return { ok: false, refusal: verified.fault }
  const checked = checkClaims(verified.claims, deps.runtime.now(), deps.requiredClaims)
  if (!checked.ok) return checked
  return { ok: true, token, identity: { role: checked.role, claims: checked.claims, headers: asText(headers) } }
}

/** The token of the header `Authorization`. An opaque API key is no token, as in a channel. */
export function bearerToken(authorization: string | undefined): string | undefined {
  const token = /^bearer\s+(.+)$/i.exec(authorization ?? '')?.[1]
  return token?.startsWith('sb_') ? undefined : token
}

/** Joins `set-cookie`, for which Node gives a list. */
function asText(headers: IncomingHttpHeaders): Readonly<Record<string, string>> {
  if (headers['set-cookie'] === undefined) return headers as Readonly<Record<string, string>>
  return { ...(headers as Readonly<Record<string, string>>), 'set-cookie': headers['set-cookie'].join(', ') }
}
