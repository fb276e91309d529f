import type pg from 'pg'
import type { PublishedRelations } from '../../replication/published-relations.ts'
import type { PublicationSpec } from './publication.ts'

export interface ReplicationTarget {
  /** How `pg` connects; the role needs REPLICATION and may not go through a pooler. */
  readonly connection: pg.ClientConfig
  /** The first part of the slots' names: lower case letters, digits, underscores. */
  readonly slotBase: string
  /** A slot that is gone with the connection, and no anchor: every reconnect is a new epoch, and nothing is left behind. */
  readonly temporarySlot: boolean
  readonly publications: readonly PublicationSpec[]
  /** Shown in the name of the slot that this node reads. */
  readonly node: string
  /** Nodes as the names of copies show them that are no peers: other processes of this server. */
  readonly siblings: ReadonlySet<string>
  /** A node that is further behind than this does not hold the anchor back. */
  readonly windowBytes: number
  /** For logs: what an operator should know. Each sentence comes once until another one does. */
  readonly onNotice: ((sentence: string) => void) | undefined
  /** Brings the database up to date; called at every attempt until it has resolved. */
  readonly prepare: (() => Promise<void>) | undefined
}

/** What outlives a connection. */
export interface SourceMemory {
  /** Of this source alone, so that sessions which a cut network left behind on the server can be recognized. */
  readonly applicationName: string
  /** The database is up to date. */
  prepared: boolean
  /** The last anchor that was copied. */
  anchor: string | null
  /** An anchor that has to be replaced, because a publication was created after it. */
  rejected: string | null
  /** `null`: nothing was ever attached. */
  epoch: string | null
  readonly published: PublishedRelations
  /** Names of copies that this node has made: those that linger are no other node's. */
  readonly copies: Set<string>
}
