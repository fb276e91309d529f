import type { NodeAdmin } from '../cluster/node-admin.ts'
import type { Connections } from '../connection/connections.ts'
import type { Limits } from '../limits/limits.ts'
import type { Decision, FeedProgress, Observer, Relay, Runtime } from '../ports.ts'
import type { Topics } from '../topic/topics.ts'

/** The server, as the admin channel sees it. */
export interface AdminView {
  readonly runtime: Runtime
  readonly connections: Connections
  readonly topics: Topics
  readonly limits: Limits
  readonly privateOnly: boolean
  readonly hasDatabase: boolean
  /** This node among others; `null` where there is only one. */
  readonly node: Pick<Relay, 'self' | 'link'> | null
  /** Asks all nodes. */
  readonly nodes: Pick<NodeAdmin, 'nodes' | 'disconnect' | 'siblings' | 'sendToSiblings' | 'askSiblings'>
  /** Whether other processes serve the same port, and are to be shown as one with this one. */
  readonly hasSiblings: boolean
  /** Attaches an observer. Returns the function that detaches it. */
  watch(observer: Observer): () => void
  decide(decision: Decision): void
  /** `null`: there is no feed. */
  feedProgress(): FeedProgress | null
}
