import { describeTokenRefusal, upgradeAnswer, type TokenRefusal } from '../auth/token.ts'
import type { Admission } from '../auth/admission.ts'
import type { DecisionCode } from '../decision-code.ts'
import type { Claims } from '../ports.ts'
import type { AdminKey } from '../auth/admin-key.ts'

/** The state of the server that an upgrade is checked against. */
export interface UpgradeConditions {
  readonly draining: boolean
  examine(apiKey: string): Promise<Admission | { readonly refusal: TokenRefusal }>
  /** Whether it is a good admin key; `undefined` while the inspector is off. */
  checkAdminKey(apiKey: string): Promise<AdminKey> | undefined
  /** Whether one more socket may have channels. */
  allowUser(): boolean
  /** Counts the upgrade. Whether it is within the limit of upgrades a second. */
  allowUpgrade(): boolean
}

export type UpgradeAdmission =
  | { readonly ok: true; readonly token: string; readonly claims: Claims }
  /** `status` and `text` are the answer over HTTP. */
  | { readonly ok: false; readonly status: number; readonly text: string; readonly code: DecisionCode }

/** Whether a socket may be opened with this API key (rules A1, H1). Never rejects. */
export async function checkUpgrade(apiKey: string, at: UpgradeConditions): Promise<UpgradeAdmission> {
  if (at.draining) return refuse(503, 'Realtime is restarting, please standby', 'restarting')
  const examined = apiKey === '' ? { refusal: { code: 'missing' } as const } : await at.examine(apiKey)
  if ('refusal' in examined) {
    const { refusal } = examined
    // The limit of users does not apply to inspectors: they may be needed to see why it is reached.
    const key = refusal.code === 'signature' || refusal.code === 'signer' ? await at.checkAdminKey(apiKey) : undefined
    if (key?.ok === true) return { ok: true, token: apiKey, claims: key.claims }
    if (key?.code === 'admin-key-expired') return refuse(401, 'Token has expired', key.code)
    const { status, text } = upgradeAnswer(refusal)
    return refuse(status, text, describeTokenRefusal(refusal).code)
  }
  if (!at.allowUser()) return refuse(429, 'Too many connected users', 'too-many-users')
  if (!at.allowUpgrade()) return refuse(429, 'Too many joins per second', 'too-many-joins')
  return { ok: true, token: apiKey, claims: examined.identity.claims }
}

function refuse(status: number, text: string, code: DecisionCode): UpgradeAdmission {
  return { ok: false, status, text, code }
}
