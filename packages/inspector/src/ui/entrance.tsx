import { useSignal } from '@preact/signals'
import type { VNode } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Inspector } from '../inspector.ts'
import { AdminLink } from '../link/admin-link.ts'
import { forgetKey, keepKey, openSession, type Session } from '../link/session.ts'
import { explainRefusal } from '../stores/refusal.ts'
import { App } from './app.tsx'
import { KeyScreen } from './key-screen.tsx'

/** The server's address for clients: the page is served by it, at `/_/`. */
const endpoint = `${location.origin}/realtime/v1`

/** Finds a key, asks for one, or says why there is none. */
export function Entrance({ inspector }: { readonly inspector: Inspector }): VNode {
  const session = useSignal<Session | null>(null)

  async function enter(): Promise<void> {
    const found = await openSession()
    session.value = found
    if (found.kind === 'key') inspector.connect((listener) => new AdminLink(endpoint, found.key, listener))
  }
  useEffect(() => void enter(), [])

  const enterWith = (key: string): void => {
    keepKey(key)
    void enter()
  }
  const leave = (): void => {
    forgetKey()
    location.reload()
  }
  const now = session.value
  if (now === null) return <main class="screen" aria-busy="true" />
  const { value: link } = inspector.link
  if (now.kind === 'key' && link.kind !== 'refused')
    return <App inspector={inspector} endpoint={endpoint} anonKey={now.anonKey} leave={now.key.isGiven ? null : leave} />
  if (now.kind === 'key' && link.kind === 'refused')
    return <KeyScreen explained={explainRefusal(link.reason, now.key.isGiven)} asksForKey={!now.key.isGiven} enterWith={enterWith} />
  if (now.kind === 'refused') return <KeyScreen explained={explainRefusal(now.reason, true)} asksForKey={false} enterWith={enterWith} />
  if (now.kind === 'unreachable')
    return (
      <KeyScreen
        explained={{
          title: 'The server does not answer',
          reason: 'This page was loaded, and then its server could not be reached.',
          remedy: 'See that it still runs, then load the page again.',
        }}
        asksForKey={false}
        enterWith={enterWith}
      />
    )
  return (
    <KeyScreen
      explained={{
        title: 'Admin key',
        reason: 'This page shows the traffic of all users of the server, so it wants a key of its own.',
        remedy: 'Enter the admin key. It stays in this tab and is forgotten when the tab is closed.',
      }}
      asksForKey
      enterWith={enterWith}
    />
  )
}
