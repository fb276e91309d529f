import type { AdminEvents, AdminRequests, AdminWelcome } from '@tidewire/protocol'

/** The page's own connection. */
export type LinkState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'open'; readonly welcome: AdminWelcome }
  /** Lost, or not made; it will be tried again by itself. */
  | { readonly kind: 'waiting'; readonly reason: string }
  /** The server does not take the key. Nothing is tried again. */
  | { readonly kind: 'refused'; readonly reason: string }

export interface LinkListener {
  state(state: LinkState): void
  event<Name extends keyof AdminEvents>(name: Name, payload: AdminEvents[Name]): void
}

/** The admin channel, as the page uses it. */
export interface Link {
  /** Rejects with an Error whose message is the server's `Code: sentence`, or says that there was no answer. */
  request<Name extends keyof AdminRequests>(name: Name, request: AdminRequests[Name][0]): Promise<AdminRequests[Name][1]>
  close(): void
}
