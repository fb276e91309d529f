import { ADMIN_ROLE, type InspectorSession } from '@tidewire/protocol'
import { signJwt } from '../jwt.ts'

/** How long a key is valid that the page gets from its server. The page gets another one in time. */
const PAGE_KEY_S = 15 * 60

/** A key for the inspector page of a dev server. */
export async function pageSession(secret: string, anonKey: string): Promise<InspectorSession> {
  const nowS = Math.floor(Date.now() / 1000)
  const exp = nowS + PAGE_KEY_S
  return { token: await signJwt({ role: ADMIN_ROLE, iat: nowS, exp }, secret), expiresAt: exp * 1000, anonKey }
}

/** A session without a key: the page asks its user for one. */
export const keyless: InspectorSession = { token: null, expiresAt: null, anonKey: null }
