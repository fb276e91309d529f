import type { DecisionCode } from '../decision-code.ts'
import { jsonEqual } from '@tidewire/protocol'
import type { Claims, TokenFault } from '../ports.ts'

/** Claims that must be there with exactly these values, for example `{ iss: 'https://auth.example' }`. */
export type RequiredClaims = { readonly [claim: string]: unknown }

/** Why a token, or its absence, is refused. */
export type TokenRefusal =
  | TokenFault
  | { readonly code: 'missing' }
  | { readonly code: 'expired'; readonly secondsAgo: number }
  /** `role` or `exp` is not there. */
  | { readonly code: 'incomplete' }
  /** A claim whose value is of the wrong type, or not the required one. */
  | { readonly code: 'claim'; readonly claim: string }

export type CheckedClaims =
  | {
      readonly ok: true
      readonly role: string
      /** When the token expires, Unix milliseconds. */
      readonly expMs: number
      readonly claims: Claims
    }
  | { readonly ok: false; readonly refusal: TokenRefusal }

/** Removes line breaks, which come with pasted tokens, and decodes once more: query parameters may arrive encoded twice. */
export function normalizeToken(token: string): string {
  return decodeUri(token).replace(/\s+/g, '')
}

/**
 * Checks the claims of a token whose signature is good (rule A2). `exp` is compared in whole seconds and without
 * leeway; `nbf` and `aud` are ignored unless required.
 */
export function checkClaims(claims: Claims, nowMs: number, required: RequiredClaims = {}): CheckedClaims {
  const { exp, iat, role } = claims
  if (Object.hasOwn(claims, 'exp')) {
    if (typeof exp !== 'number' || !Number.isFinite(exp)) return refused({ code: 'claim', claim: 'exp' })
    const now = Math.floor(nowMs / 1000)
    if (exp <= now) return refused({ code: 'expired', secondsAgo: Math.max(0, now - Math.round(exp)) })
  }
  if (Object.hasOwn(claims, 'iat') && (typeof iat !== 'number' || !Number.isFinite(iat))) return refused({ code: 'claim', claim: 'iat' })
  for (const [claim, value] of Object.entries(required)) if (!jsonEqual(claims[claim], value)) return refused({ code: 'claim', claim })
  if (typeof exp !== 'number' || typeof role !== 'string') return refused({ code: 'incomplete' })
  return { ok: true, role, expMs: Math.min(Math.round(exp) * 1000, Number.MAX_SAFE_INTEGER), claims: roundedClaims(claims, exp, iat) }
}

/** Rounded claims, by the claims as they came: one token keeps one claims object, by which callers cache. */
const rounded = new WeakMap<Claims, Claims>()

function roundedClaims(claims: Claims, exp: number, iat: unknown): Claims {
  let known = rounded.get(claims)
  if (known === undefined) {
    known = { ...claims, exp: Math.round(exp), ...(typeof iat === 'number' ? { iat: Math.round(iat) } : {}) }
    rounded.set(claims, known)
  }
  return known
}

/** The `reason` of a refused join. */
export function joinReason(refusal: TokenRefusal): string {
  switch (refusal.code) {
    case 'missing':
    case 'malformed':
      return `MalformedJWT: ${MALFORMED}`
    case 'signature':
      return `JwtSignatureError: ${BAD_SIGNATURE}`
    case 'signer':
      return `JwtSignerError: ${signerText(refusal.kid)}`
    case 'expired':
      return `InvalidJWTToken: ${expiredText(refusal.secondsAgo)}`
    case 'incomplete':
      return `InvalidJWTToken: ${INCOMPLETE}`
    case 'claim':
      return 'Unknown Error on Channel'
  }
}

/** Status and `error` text of a refused upgrade. */
export function upgradeAnswer(refusal: TokenRefusal): { readonly status: 401 | 500; readonly text: string } {
  switch (refusal.code) {
    case 'missing':
      return { status: 401, text: 'API key is missing' }
    case 'malformed':
      return { status: 401, text: MALFORMED }
    case 'signature':
      return { status: 401, text: BAD_SIGNATURE }
    case 'signer':
      return { status: 401, text: signerText(refusal.kid) }
    case 'expired':
      return { status: 401, text: 'Token has expired' }
    case 'incomplete':
      return { status: 401, text: INCOMPLETE }
    case 'claim':
      return { status: 500, text: 'Error connecting to Realtime' }
  }
}

/** The `system` message before a joined channel is closed because of its token. */
export function tokenSystemMessage(refusal: TokenRefusal): string {
  switch (refusal.code) {
    case 'missing':
    case 'malformed':
      return MALFORMED
    case 'signature':
      return ':signature_error'
    case 'signer':
      return signerText(refusal.kid)
    case 'expired':
      return expiredText(refusal.secondsAgo)
    case 'incomplete':
      return INCOMPLETE
    case 'claim':
      return refusal.claim === 'exp' ? 'Token expiration time is invalid' : 'Unknown Error on Channel'
  }
}

/** The code and sentence for observers. The texts for clients are fixed by the protocol and say less. */
export function describeTokenRefusal(refusal: TokenRefusal): { readonly code: DecisionCode; readonly detail: string } {
  switch (refusal.code) {
    case 'missing':
      return { code: 'token-missing', detail: 'no token was given' }
    case 'malformed':
      return { code: 'token-malformed', detail: 'the token is not a JWT' }
    case 'signature':
      return { code: 'token-signature', detail: 'the signature of the token does not match its key' }
    case 'signer':
      return {
        code: 'token-signer',
        detail: `no key for this token${refusal.kid === null ? '' : ` (kid ${JSON.stringify(refusal.kid)})`}: check its algorithm, the secret and the JWKS`,
      }
    case 'expired':
      return { code: 'token-expired', detail: expiredText(refusal.secondsAgo) }
    case 'incomplete':
      return { code: 'token-incomplete', detail: 'the token lacks the claim role or exp' }
    case 'claim':
      return { code: 'token-claim', detail: `the claim ${JSON.stringify(refusal.claim)} of the token has a value that is not accepted` }
  }
}

const MALFORMED = 'The token provided is not a valid JWT'
const BAD_SIGNATURE = 'Failed to validate JWT signature'
const INCOMPLETE = 'Fields `role` and `exp` are required in JWT'

function expiredText(secondsAgo: number): string {
  return `Token has expired ${secondsAgo} seconds ago`
}

function signerText(kid: string | null): string {
  const named = kid === null ? '' : ` for key ID (kid) "${kid}"`
  return `Failed to generate JWT signer${named}, check your JWT secret or JWKS configuration`
}

function refused(refusal: TokenRefusal): CheckedClaims {
  return { ok: false, refusal }
}

function decodeUri(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
