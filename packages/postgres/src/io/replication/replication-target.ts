import type pg from 'pg'
import type { PublishedRelations } from '../../replication/published-relations.ts'
import type { ChangeSourceHandlers, ChangeSourceTuning } from '../../replication/source/change-source-api.ts'
import type { PublicationSpec } from './publication.ts'

/** Where row changes come from, and what receives them. */
export interface OpenChangeSourceOptions extends ChangeSourceTuning {
  /** `postgres://…` of a role that may replicate, straight to the server: poolers do not pass replication on. */
  readonly connection: string
  /** Prefix of the slots' names: lower case letters, digits and underscores. Default `tidewire`. */
  readonly slot?: string | undefined
  /** Keep no slot that outlives the connection. Nothing is ever left behind, and nothing survives a reconnect. Default false. */
  readonly temporarySlot?: boolean
  /** Shown in the name of the slot that this source reads. Default: the host's name and the process id. */
  readonly node?: string
  /** Nodes that broadcasts and presence reach although there is no relay to all: other processes of this server. */
  readonly siblings?: readonly string[]
  /** A source that is further behind than this no longer holds back what Postgres keeps for all. Default 256 MB. */
  readonly windowBytes?: number
  /** The publications to read; missing ones are made. At least one. */
  readonly publications: readonly PublicationSpec[]
  readonly handlers: ChangeSourceHandlers
  /** Brings the database up to date before the first connection; tried again, with growing pauses, until it resolves. */
  readonly prepare?: () => Promise<void>
  /** For logs: what an operator should know of the replication slots. Each sentence comes once until another one does. */
  readonly onNotice?: (sentence: string) => void
}

type Given = 'temporarySlot' | 'publications' | 'node' | 'windowBytes'

export interface ReplicationTarget
  extends Required<Pick<OpenChangeSourceOptions, Given>>, Pick<OpenChangeSourceOptions, 'onNotice' | 'prepare'> {
  readonly connection: pg.ClientConfig
  /** The first part of the slots' names. */
  readonly slotBase: string
  /** Nodes as the names of copies show them that are no peers. */
  readonly siblings: ReadonlySet<string>
}

/** State that outlives a connection. */
export interface SourceMemory {
  /** Unique to this source, so that sessions which a cut network left behind on the server can be recognized. */
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
