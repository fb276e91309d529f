import type { Claims } from '@tidewire/server'
import type { ClaimsUse } from './policy-analysis.ts'

/** The identity that a check is made for: all users that the policies of a table cannot distinguish. */
export interface CheckIdentity {
  /** Equal for equal identities, also after one was garbage-collected; `id` is not. */
  readonly key: string
  /** Unique to this object. */
  readonly id: number
  readonly role: string
  /** JSON text for `request.jwt.claims`. */
  readonly claims: string
}

/**
 * One object per identity, as long as anything holds it. Each renewed token may be a new one, so those that nothing
 * holds any more are forgotten.
 */
export class Identities {
  readonly #known = new Map<string, WeakRef<CheckIdentity>>()
  #lastId = 0
  readonly #collected = new FinalizationRegistry<string>((key) => {
    if (this.#known.get(key)?.deref() === undefined) this.#known.delete(key)
  })

  get size(): number {
    return this.#known.size
  }

  of(role: string, claims: Claims, use: ClaimsUse): CheckIdentity {
    const text = claimsText(claims, JSON.stringify(claims), use)
    const key = `${role}\n${text}`
    const known = this.#known.get(key)?.deref()
    if (known !== undefined) return known
    const identity = { key, id: ++this.#lastId, role, claims: text }
    this.#known.set(key, new WeakRef(identity))
    this.#collected.register(identity, key)
    return identity
  }
}

/** As JSON, without those that are not used. `whole`: the JSON of all of them. */
export function claimsText(claims: Claims, whole: string, use: ClaimsUse): string {
  return use === 'all' || !isPlain(whole) ? whole : JSON.stringify(projected(claims, use))
}

/**
 * Whether Postgres reads the claims as jsonb for certain. Where it does not, policies fail that would not with a part of
 * the claims: an escape that jsonb refuses, or more depth than the server's stack takes.
 */
function isPlain(text: string): boolean {
  return text.length <= 16_384 && !/\\u(?:0000|d[89a-f])/i.test(text)
}

function projected(claims: Claims, use: ReadonlySet<string>): Claims {
  return Object.fromEntries([...use].toSorted().flatMap((name) => (Object.hasOwn(claims, name) ? [[name, claims[name]!]] : [])))
}

/** The token's `sub` as Postgres writes a uuid; `null` when it is none for certain. */
export function uidOf(claims: Claims): string | null {
  const sub = claims['sub']
  return typeof sub === 'string' && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(sub) ? sub.toLowerCase() : null
}
