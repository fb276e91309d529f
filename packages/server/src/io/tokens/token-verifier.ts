import { performance } from 'node:perf_hooks'
import { RealtimeError } from '@tidewire/protocol'
import { compactVerify, decodeJwt, decodeProtectedHeader, errors, type JWK } from 'jose'
import type { Claims, TokenFault, TokenVerifier } from '../../ports.ts'
import { parseKeySet, RemoteKeySet } from './key-set.ts'

/** Where the keys come from: one of `secret`, `jwks` and `jwksUrl` at least. */
export interface TokenVerifierOptions {
  /** Verifies HS256, HS384 and HS512, unless the token names a key that `jwks` has. */
  readonly secret?: string | undefined
  /** A JSON Web Key Set, as parsed JSON: `{ keys: […] }`. */
  readonly jwks?: unknown
  /** Where to fetch a JSON Web Key Set of public keys; asked after `jwks`. While it cannot be reached, the last keys stay good. */
  readonly jwksUrl?: string | undefined
  /** Default 5 000. */
  readonly jwksTimeoutMs?: number | undefined
  /** Fetched keys that are older are fetched again in the background. Default 600 000. */
  readonly jwksMaxAgeMs?: number | undefined
  /** The time between two fetches, however many unknown keys are asked for. Default 10 000. */
  readonly jwksCooldownMs?: number | undefined
  /** Longer tokens are malformed. Default 32 768. */
  readonly maxTokenBytes?: number | undefined
  /** Verified tokens whose claims are remembered, by the exact string, until the keys change. Default 10 000. */
  readonly cacheSize?: number | undefined
  /** Monotonic milliseconds. */
  readonly uptime?: (() => number) | undefined
  /** Called with the reason when the keys could not be fetched. Must not throw. */
  readonly onKeySetFault?: ((detail: string) => void) | undefined
}

type Verification = Awaited<ReturnType<TokenVerifier['verify']>>

/** The key type of each algorithm. All others, `none` included, have no key. */
const KEY_TYPES: ReadonlyMap<string, string> = new Map([
  ...['HS256', 'HS384', 'HS512'].map((alg) => [alg, 'oct'] as const),
  ...['RS256', 'RS384', 'RS512'].map((alg) => [alg, 'RSA'] as const),
  ...['ES256', 'ES384', 'ES512'].map((alg) => [alg, 'EC'] as const),
  ...['EdDSA', 'Ed25519', 'Ed448'].map((alg) => [alg, 'OKP'] as const),
])

/** The key id is part of answers, so its length is bounded. */
const MAX_KID_LENGTH = 128

/**
 * Checks signatures with jose. Throws a RealtimeError `bad-option` when there is nothing to check them with; the
 * verifier itself never rejects. Tokens come normalized (`normalizeToken`); claims are judged by `checkClaims`.
 */
export function tokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const keys = openKeys(options)
  const { maxTokenBytes = 32_768 } = options
  const verified = new VerifiedTokens(options.cacheSize ?? 10_000)

  async function verify(token: string): Promise<Verification> {
    if (token.length > maxTokenBytes) return fault({ code: 'malformed' })
    keys.remote?.keepFresh()
    const generation = (): number => keys.remote?.generation ?? 0
    const known = verified.get(token, generation())
    if (known !== undefined) return { ok: true, claims: known }
    const parts = readToken(token)
    if (parts === null) return fault({ code: 'malformed' })
    const { alg, kid, claims } = parts
    const key = await selectKey(keys, alg, kid)
    const verifiedWith = generation()
    const failure = key === null ? signerFault(kid) : await signatureFault(token, alg, kid, key)
    if (failure !== null) return fault(failure)
    // The keys may have changed since the check began.
    if (verifiedWith === generation()) verified.add(token, claims, verifiedWith)
    return { ok: true, claims }
  }

  return { verify }
}

interface Keys {
  readonly secret: Uint8Array | null
  readonly fixed: readonly JWK[]
  readonly remote: RemoteKeySet | null
}

function openKeys(options: TokenVerifierOptions): Keys {
  const { secret, jwks, jwksUrl } = options
  if (secret === undefined && jwks === undefined && jwksUrl === undefined)
    throw new RealtimeError('bad-option', 'Nothing to verify tokens with: give a secret, jwks or jwksUrl')
  if (secret === '') throw new RealtimeError('bad-option', 'secret: must not be empty')
  const fixed = jwks === undefined ? [] : parseKeySet(jwks)
  if (fixed === null) throw new RealtimeError('bad-option', 'jwks: must be {"keys": […]}')
  return {
    secret: secret === undefined ? null : new TextEncoder().encode(secret),
    fixed,
    remote: jwksUrl === undefined ? null : openRemote(jwksUrl, options),
  }
}

function openRemote(url: string, options: TokenVerifierOptions): RemoteKeySet {
  if (!/^https?:$/.test(protocolOf(url))) throw new RealtimeError('bad-option', 'jwksUrl: must be an http or https URL')
  return new RemoteKeySet({
    url,
    timeoutMs: options.jwksTimeoutMs ?? 5_000,
    maxAgeMs: options.jwksMaxAgeMs ?? 600_000,
    cooldownMs: options.jwksCooldownMs ?? 10_000,
    uptime: options.uptime ?? (() => performance.now()),
    onFault: options.onKeySetFault ?? (() => {}),
  })
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : ''
}

function readToken(token: string): { readonly alg: string; readonly kid: string | null; readonly claims: Claims } | null {
  try {
    const { alg, kid } = decodeProtectedHeader(token) as { readonly alg?: unknown; readonly kid?: unknown }
    return {
      alg: typeof alg === 'string' ? alg : '',
      kid: typeof kid === 'string' ? kid : null,
      claims: decodeJwt(token),
    }
  } catch {
    return null
  }
}

/**
 * By key id and the key type that the algorithm needs. Only HMAC falls back to the secret, and it never asks the URL:
 * keys that are published there are no secrets.
 */
async function selectKey({ secret, fixed, remote }: Keys, alg: string, kid: string | null): Promise<JWK | Uint8Array | null> {
  const keyType = KEY_TYPES.get(alg)
  if (keyType === undefined) return null
  const fallback = keyType === 'oct' ? secret : null
  if (kid === null) return fallback
  const matches = (key: JWK): boolean => key.kid === kid && key.kty === keyType
  const key = fixed.find(matches)
  if (key !== undefined) return key
  return keyType === 'oct' ? fallback : ((await remote?.find(matches)) ?? null)
}

async function signatureFault(token: string, alg: string, kid: string | null, key: JWK | Uint8Array): Promise<TokenFault | null> {
  try {
    await compactVerify(token, key, { algorithms: [alg] })
    return isCanonical(token.slice(token.lastIndexOf('.') + 1)) ? null : { code: 'malformed' }
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return { code: 'signature' }
    if (error instanceof errors.JWSInvalid) return { code: 'malformed' }
    // All other errors are about the key: of another curve, too short, or of an algorithm that the platform lacks.
    return signerFault(kid)
  }
}

/** Decoders ignore padding and the last unused bits: one token would have many spellings, each with a memory and a budget of its own. */
function isCanonical(signature: string): boolean {
  return Buffer.from(signature, 'base64url').toString('base64url') === signature
}

function signerFault(kid: string | null): TokenFault {
  return { code: 'signer', kid: kid === null ? null : kid.slice(0, MAX_KID_LENGTH) }
}

function fault(reason: TokenFault): Verification {
  return { ok: false, fault: reason }
}

/** Longer tokens are not cached: they are rare and take much memory. */
const MAX_CACHED_TOKEN_LENGTH = 4096

/** Characters of all cached tokens. */
const MAX_CACHED_CHARACTERS = 16 * 1024 * 1024

/**
 * Claims of tokens whose signature was good, the least recently used out first. New keys empty it. Expiry is not
 * cached: it is checked whenever a token is used.
 */
class VerifiedTokens {
  readonly #size: number
  readonly #claims = new Map<string, Claims>()
  #characters = 0
  #generation = 0

  constructor(size: number) {
    this.#size = size
  }

  get(token: string, generation: number): Claims | undefined {
    this.#renew(generation)
    const claims = this.#claims.get(token)
    if (claims !== undefined) {
      this.#claims.delete(token)
      this.#claims.set(token, claims)
    }
    return claims
  }

  add(token: string, claims: Claims, generation: number): void {
    this.#renew(generation)
    if (token.length > MAX_CACHED_TOKEN_LENGTH || this.#claims.has(token)) return
    this.#claims.set(token, claims)
    this.#characters += token.length
    while (this.#claims.size > this.#size || this.#characters > MAX_CACHED_CHARACTERS) {
      const oldest = this.#claims.keys().next().value!
      this.#claims.delete(oldest)
      this.#characters -= oldest.length
    }
  }

  #renew(generation: number): void {
    if (generation === this.#generation) return
    this.#generation = generation
    this.#claims.clear()
    this.#characters = 0
  }
}
