import type { AdminPorts } from './admin.ts'
import type { Authorizer, TokenVerifier } from './auth.ts'
import type { ChangeFeed } from './changes.ts'
import type { MessageStore } from './messages.ts'
import type { Observer, Tracer } from './observe.ts'
import type { Relay, RelayPeer } from './relay.ts'
import type { Runtime } from './runtime.ts'

/** What a server stands on. Without a database, private channels, replay and row changes are refused with a reason. */
export interface ServerPorts {
  readonly runtime: Runtime
  readonly verifier: TokenVerifier
  readonly observer: Observer
  readonly authorizer?: Authorizer | null
  readonly messageStore?: MessageStore | null
  readonly changeFeed?: ChangeFeed | null
  /** The way to other nodes; `null`: this is the only one. */
  readonly relay?: Relay | null
  /** Follows broadcasts; without one nothing is spent on it. */
  readonly tracer?: Tracer | null
  /** Where several processes serve one port and have a relay: they are shown as one server. */
  readonly processes?: Processes | null
  /** What an inspector needs; `null`: there is none. */
  readonly admin?: AdminPorts | null
}

/** This process among those that serve its port. */
export interface Processes {
  /** Of the ids of its connections; no other has it. */
  readonly prefix: string
  readonly isSibling: (peer: RelayPeer) => boolean
}
