import { ADMIN_ROLE } from '@tidewire/protocol'

/**
 * The fault of a key that shows without its secret; `null` when there is none. A browser does not learn why a socket was
 * refused, so the page checks the key itself.
 */
export function keyFault(key: string, nowMs: number): string | null {
  const claims = claimsOf(key)
  if (claims === null) return 'This is not a key: a key is a JSON Web Token, three parts with dots between them.'
  const { role, exp } = claims
  if (role !== ADMIN_ROLE) return `This key has the role ${JSON.stringify(role ?? null)}; that of an admin key is ${ADMIN_ROLE}.`
  if (typeof exp === 'number' && exp * 1_000 <= nowMs) return `The admin key expired at ${new Date(exp * 1_000).toLocaleString()}.`
  return null
}

function claimsOf(key: string): { readonly role?: unknown; readonly exp?: unknown } | null {
  const [, body, signature] = key.split('.')
  if (body === undefined || signature === undefined) return null
  try {
    const bytes = Uint8Array.from(atob(body.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0))
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return typeof claims === 'object' && claims !== null ? claims : null
  } catch {
    return null
  }
}
