import type { InspectorSession } from '@tidewire/protocol'

/** The key that the page connects with. */
export interface Key {
  readonly token: string
  /** Unix milliseconds; `null` when it is not known. */
  readonly expiresAt: number | null
  /** The server gave it to its own page. */
  readonly isGiven: boolean
}

export type Session =
  | { readonly kind: 'key'; readonly key: Key; readonly anonKey: string | null }
  /** There is none; the user must type one. */
  | { readonly kind: 'needs-key' }
  /** The server does not hand out a key here, and says why. */
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unreachable' }

const STORED = 'tidewire-admin-key'
const LONGEST_REASON = 300

/** Asks the server for a key of its own page (`dev` gives one). One that was typed in this tab comes first. */
export async function openSession(): Promise<Session> {
  let response: Response
  try {
    response = await fetch('session.json', { cache: 'no-store' })
  } catch {
    return { kind: 'unreachable' }
  }
  if (!response.ok) {
    const reason = (await response.text()).trim().slice(0, LONGEST_REASON)
    return { kind: 'refused', reason: reason === '' ? `The server answered ${response.status}.` : reason }
  }
  const { token, expiresAt, anonKey } = (await response.json()) as InspectorSession
  const typed = sessionStorage.getItem(STORED)
  if (typed !== null) return { kind: 'key', key: { token: typed, expiresAt: null, isGiven: false }, anonKey }
  return token === null ? { kind: 'needs-key' } : { kind: 'key', key: { token, expiresAt, isGiven: true }, anonKey }
}

/** Keeps a key for this tab, until it is closed. */
export function keepKey(key: string): void {
  sessionStorage.setItem(STORED, key)
}

export function forgetKey(): void {
  sessionStorage.removeItem(STORED)
}
