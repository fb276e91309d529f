import type { ChangesFault } from '@tidewire/protocol'
import type { Authorization, AuthorizationRequest, Authorizer, ChangeFeed } from '@tidewire/server'

/** The policies of `transcripts/setup.sql`, for playing without a database. */
export const setupPolicies: Authorizer = {
  read: ({ subTopic, identity }) => {
    const both = startsWith(subTopic, ['room:', 'ro:']) || subTopic === userTopic(identity.claims)
    return decide(identity.role, {
      broadcast: both || subTopic.startsWith('bconly:'),
      presence: both || subTopic.startsWith('presonly:'),
    })
  },
  write: ({ subTopic, identity }) => {
    const both = startsWith(subTopic, ['room:', 'wo:']) || subTopic === userTopic(identity.claims)
    return decide(identity.role, { broadcast: both || subTopic.startsWith('bconly:'), presence: both })
  },
}

/** Row level security: `service_role` passes by it, `authenticated` is what the policies are for, others get nothing. */
function decide(role: string, policy: { readonly broadcast: boolean; readonly presence: boolean }): Promise<Authorization> {
  const all = role === 'service_role'
  const some = role === 'authenticated'
  return Promise.resolve({ ok: true, broadcast: all || (some && policy.broadcast), presence: all || (some && policy.presence) })
}

function startsWith(subTopic: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => subTopic.startsWith(prefix))
}

function userTopic(claims: AuthorizationRequest['identity']['claims']): string {
  return `user:${String(claims['sub'])}`
}

/** A feed of a database in which nothing happens: it is ready, and ready again with each new token. */
export const quietFeed: ChangeFeed = {
  open: (_request, listener) => {
    const ready = (): void => listener.system('ok', 'Subscribed to PostgreSQL')
    setImmediate(ready)
    return { setIdentity: () => void setImmediate(ready), close: () => {} }
  },
}

/** A feed that takes its time. */
export const silentFeed: ChangeFeed = { open: () => ({ setIdentity: () => {}, close: () => {} }) }

/** A feed whose database has nothing of what is asked for. */
export function refusingFeed(message: string, fault: ChangesFault): ChangeFeed {
  return {
    open: (_request, listener) => {
      setImmediate(() => listener.system('error', message, { ...fault }))
      return { setIdentity: () => {}, close: () => {} }
    },
  }
}
