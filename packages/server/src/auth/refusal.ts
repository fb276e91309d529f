import type { Authorization } from '../ports.ts'

/** Why policies deny something: a sentence for the log, and for the client where `isShown`. */
export interface Refusal {
  readonly detail: string
  readonly isShown: boolean
}

/** `showsFailedPolicies`: the client sees which policy failed, and its error. */
export function refusalOf(
  { detail, failed = false }: Extract<Authorization, { ok: true }>,
  showsFailedPolicies: boolean,
): Refusal | undefined {
  return detail === undefined ? undefined : { detail, isShown: failed && showsFailedPolicies }
}

/** The text of a refusal for the client, and for the log. */
export function explained(text: string, refusal: Refusal | undefined): { readonly shown: string; readonly logged: string } {
  if (refusal === undefined) return { shown: text, logged: text }
  const logged = `${text} (${refusal.detail})`
  return { shown: refusal.isShown ? logged : text, logged }
}
