import type { AdminPorts } from './admin.ts'
import type { Authorizer, TokenVerifier } from './auth.ts'
import type { ChangeFeed } from './changes.ts'
import type { MessageStore } from './messages.ts'
import type { Observer, Tracer } from './observe.ts'
import type { Relay, RelayPeer } from './relay.ts'
import type { Runtime } from './runtime.ts'

/** The ports of a server. Without a database, private channels, replay and row changes are refused with a reason. */
export interface ServerPorts {
  readonly runtime: Runtime
  readonly verifier: TokenVerifier
  readonly observer: Observer
  readonly authorizer?: Authorizer | null
  readonly messageStore?: MessageStore | null
  readonly changeFeed?: ChangeFeed | null
  /** Carries messages between nodes; `null`: this is the only one. */
  readonly relay?: Relay | null
  /** Traces broadcasts; without one tracing costs nothing. */
  readonly tracer?: Tracer | null
  /** Where several processes serve one port and have a relay: they are shown as one server. */
  readonly processes?: Processes | null
  /** The ports of the inspector; `null`: there is none. */
  readonly admin?: AdminPorts | null
}

/** This process among those that serve its port. */
export interface Processes {
  /** Begins the ids of this process's connections; no other process has it. */
  readonly prefix: string
  readonly isSibling: (peer: RelayPeer) => boolean
}
