import type pg from 'pg'
import { resolveTuning, type ChangeSourceTuning } from '../../replication/change-source-options.ts'
import { createChangeSource, type ChangeSource, type ChangeSourceHandlers } from '../../replication/change-source.ts'
import { changeSourceRuntime } from './change-source-runtime.ts'
import type { PublicationSpec } from './publication.ts'
import { replicationPort } from './replication-session.ts'
import { isSlotBase } from './slot.ts'

/** Where row changes come from, and who is told of them. */
export interface OpenChangeSourceOptions extends ChangeSourceTuning {
  /** `postgres://…` of a role that may replicate, straight to the server: poolers do not pass replication on. */
  readonly connection: string | pg.ClientConfig
  /** What the slot's name begins with: lower case letters, digits and underscores. Default `tidewire`. */
  readonly slot?: string
  /** Use a slot that is gone with the connection. Nothing is ever left behind, and nothing survives a reconnect. Default false. */
  readonly temporarySlot?: boolean
  /** The publications to read; missing ones are made. At least one. */
  readonly publications: readonly PublicationSpec[]
  readonly handlers: ChangeSourceHandlers
}

/**
 * Opens the feed of row changes. It returns at once and connects by itself, as often as it takes; `handlers.onStatus`
 * tells how it fares. Throws `bad-option` when the options cannot be.
 */
export function openChangeSource(options: OpenChangeSourceOptions): ChangeSource {
  const slotBase = options.slot ?? 'tidewire'
  const times = resolveTuning(options, [
    ...(isSlotBase(slotBase) ? [] : ['slot must be 1 to 50 lower case letters, digits and underscores']),
    ...(options.publications.length > 0 ? [] : ['publications must name at least one']),
  ])
  const connection = typeof options.connection === 'string' ? { connectionString: options.connection } : options.connection
  const port = replicationPort({ connection, slotBase, temporarySlot: options.temporarySlot ?? false, publications: options.publications })
  return createChangeSource(port, changeSourceRuntime, times, options.handlers)
}
