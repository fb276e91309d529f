/** The sentence shown when the server refuses the page. */
export interface Explained {
  readonly title: string
  readonly reason: string
  readonly remedy: string
}

/** Explains a refusal, which is the server's `Code: sentence` or a sentence alone. */
export function explainRefusal(reason: string, isGiven: boolean): Explained {
  const asked = isGiven
    ? 'Load the page again: it asks for a new key each time.'
    : 'Make an admin key with `tidewire token --admin`, where the server has its secret, and enter it here.'
  if (/expired/i.test(reason)) return { title: 'The key has expired', reason, remedy: asked }
  if (/origin|this machine|host/i.test(reason))
    return {
      title: 'This address is not allowed',
      reason,
      remedy: 'Open the page at the address that the server printed when it started. Pages from elsewhere get no key.',
    }
  if (/disabled|not enabled|no inspector/i.test(reason))
    return { title: 'The inspector is off', reason, remedy: 'Start the server with its inspector enabled and an admin key set.' }
  return { title: 'The key was not taken', reason, remedy: isGiven ? asked : `The keys of applications do not open this page. ${asked}` }
}
