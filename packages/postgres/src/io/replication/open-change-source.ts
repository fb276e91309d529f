import { hostname } from 'node:os'
import { DEFAULT_TUNING } from '../../feed-options.ts'
import { resolveTuning, type ChangeSourceTuning } from '../../replication/source/change-source-options.ts'
import type { ChangeSource, ChangeSourceHandlers } from '../../replication/source/change-source-api.ts'
import { ReplicationSource } from '../../replication/source/change-source.ts'
import { nodeRuntime } from '../node-runtime.ts'
import type { PublicationSpec } from './publication.ts'
import { replicationPort } from './replication-attempt.ts'
import { isSlotBase, nodeInCopyName } from './slot.ts'

/** Where row changes come from, and what receives them. */
export interface OpenChangeSourceOptions extends ChangeSourceTuning {
  /** `postgres://…` of a role that may replicate, straight to the server: poolers do not pass replication on. */
  readonly connection: string
  /** What the slots' names begin with: lower case letters, digits and underscores. Default `tidewire`. */
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

/**
 * Opens the feed of row changes. It returns at once and connects by itself, as often as it takes; `handlers.onStatus`
 * gets its state. Throws `bad-option` when the options cannot be.
 */
export function openChangeSource(options: OpenChangeSourceOptions): ChangeSource {
  const slotBase = options.slot ?? 'tidewire'
  const tuning = resolveTuning(options, [
    ...(isSlotBase(slotBase) ? [] : ['slot must be 1 to 50 lower case letters, digits and underscores']),
    ...(options.publications.length > 0 ? [] : ['publications must name at least one']),
  ])
  const port = replicationPort({
    connection: { connectionString: options.connection, keepAlive: true, connectionTimeoutMillis: 10_000 },
    slotBase,
    temporarySlot: options.temporarySlot ?? false,
    publications: options.publications,
    node: options.node ?? defaultNode(),
    siblings: new Set(options.siblings?.map((name) => nodeInCopyName(slotBase, name))),
    windowBytes: options.windowBytes ?? DEFAULT_TUNING.maxWalBytes,
    onNotice: options.onNotice,
    prepare: options.prepare,
  })
  return new ReplicationSource(port, nodeRuntime, tuning, options.handlers)
}

function defaultNode(): string {
  return `${hostname()}_${process.pid}`
}
