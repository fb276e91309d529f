import type { DecisionCode } from '../decision-code.ts'
import type { Identity, TokenVerifier } from '../ports.ts'
import {
  checkClaims,
  describeTokenRefusal,
  joinReason,
  normalizeToken,
  tokenSystemMessage,
  type RequiredClaims,
  type TokenRefusal,
} from './token.ts'

/** A token whose signature and claims are good, with the identity that it stands for. */
export interface Admission {
  readonly token: string
  readonly identity: Identity
  /** Unix milliseconds. */
  readonly expiresAtMs: number
}

export type AdmissionResult =
  | { readonly ok: true; readonly admission: Admission }
  | {
      readonly ok: false
      readonly code: DecisionCode
      /** The `reason` of a join reply. */
      readonly joinReason: string
      /** The text of a `system` message. */
      readonly message: string
    }

/** Checks tokens: the signature by the verifier, then the claims. */
export class Admissions {
  readonly #verifier: TokenVerifier
  readonly #now: () => number
  readonly #requiredClaims: RequiredClaims

  /** `now`: Unix milliseconds. */
  constructor(verifier: TokenVerifier, now: () => number, requiredClaims: RequiredClaims) {
    this.#verifier = verifier
    this.#now = now
    this.#requiredClaims = requiredClaims
  }

  /** Checks the token of a channel. A refusal has the texts for its client. Never rejects. */
  async admit(token: string, headers: Readonly<Record<string, string>>): Promise<AdmissionResult> {
    const result = await this.examine(token, headers)
    if (!('refusal' in result)) return { ok: true, admission: result }
    const { refusal } = result
    return { ok: false, code: describeTokenRefusal(refusal).code, joinReason: joinReason(refusal), message: tokenSystemMessage(refusal) }
  }

  /** Checks a token, and returns why it is refused, without texts. Never rejects. */
  async examine(token: string, headers: Readonly<Record<string, string>>): Promise<Admission | { readonly refusal: TokenRefusal }> {
    const verified = await this.#verifier.verify(normalizeToken(token))
    if (!verified.ok) return { refusal: verified.fault }
    const checked = checkClaims(verified.claims, this.#now(), this.#requiredClaims)
    if (!checked.ok) return { refusal: checked.refusal }
    return { token, identity: { role: checked.role, claims: checked.claims, headers }, expiresAtMs: checked.expMs }
  }
}
