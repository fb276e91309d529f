import type { DecisionCode } from '../decision-code.ts'
import { ADMIN_ROLE } from '@tidewire/protocol'
import { checkClaims, normalizeToken } from './token.ts'
import type { Claims, TokenVerifier } from '../ports.ts'

export type AdminKey =
  | { readonly ok: true; readonly claims: Claims; readonly expiresAtMs: number }
  /** `code` is for observers; `reason` is sent to the client. */
  | { readonly ok: false; readonly code: DecisionCode; readonly reason: string }

/** Whether a token opens the inspector (rule I2). Never rejects. */
export async function checkAdminKey(token: string, verifier: TokenVerifier, nowMs: number): Promise<AdminKey> {
  if (token === '') return refused('admin-key-missing', 'AdminKeyMissing: the inspector needs an admin key')
  const verified = await verifier.verify(normalizeToken(token))
  if (!verified.ok)
    return refused('admin-key-invalid', 'AdminKeyInvalid: this is no admin key of this server; keys of clients do not open the inspector')
  const checked = checkClaims(verified.claims, nowMs)
  if (!checked.ok && checked.refusal.code === 'expired')
    return refused('admin-key-expired', `AdminKeyExpired: the admin key expired ${checked.refusal.secondsAgo} seconds ago: get another one`)
  if (!checked.ok) return refused('admin-key-claims', `AdminKeyClaims: an admin key has the claims role and exp`)
  if (checked.role !== ADMIN_ROLE) return refused('admin-key-role', `AdminKeyRole: the role of an admin key is ${ADMIN_ROLE}`)
  return { ok: true, claims: checked.claims, expiresAtMs: checked.expMs }
}

function refused(code: DecisionCode, reason: string): AdminKey {
  return { ok: false, code, reason }
}
