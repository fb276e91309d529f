import type { Lsn } from '../lsn.ts'
import type { ReplicationFault } from '../replication-fault.ts'
import type { EpochReason } from '../replication-port.ts'
import type { TableGap } from '../published-relations.ts'
import type { RowChange } from '../transaction-assembler.ts'

/** What the source is doing, and why it waits. */
export type ChangeSourceStatus =
  | { readonly kind: 'connecting' | 'streaming' | 'closed' }
  /** The feed stands still; the next attempt comes by itself. */
  | { readonly kind: 'waiting'; readonly fault: ReplicationFault }

/** Positions from here on cannot be compared with those before. */
export interface NewEpoch {
  readonly epoch: string
  /** `null` at the first one. With any other, changes may be missing before this: what resumes from there has a gap. */
  readonly previous: string | null
  readonly reason: EpochReason
  /** The database is another one, or was restored, or a standby was promoted: what was read before says nothing of what it holds. */
  readonly isOtherLog: boolean
}

/** None of the handlers may throw. They are called in order, never one inside the other. */
export interface ChangeSourceHandlers {
  /** In the order of their commits. A large transaction comes in several calls, and one call may bring many small ones. */
  onChanges(changes: readonly RowChange[]): void
  /** Comes before the first changes of the epoch. */
  onEpoch?(event: NewEpoch): void
  /** Comes after `onEpoch`, and as soon as it is noticed. */
  onTableGap?(gap: TableGap): void
  onStatus?(status: ChangeSourceStatus): void
  onPeers?(peers: readonly string[]): void
  /** Everything that was committed before `lsn` has been handed over: what to `confirm` once it is safe. Also called when nothing of interest happens. */
  onProgress?(lsn: Lsn): void
}

/** How often the source checks and reports, and how much it hands on at a time. */
export interface ChangeSourceTuning {
  /** How often the confirmed position is reported to Postgres and a sign of life asked for. Default 10,000. */
  readonly statusIntervalMs?: number
  /**
   * How often Postgres is made to look for changes that it has not sent. It sometimes misses one until something else happens; then the
   * change is late by this much at most. Default 500.
   */
  readonly nudgeIntervalMs?: number
  /** How long a confirmation waits for others before it is reported. Default 100. */
  readonly reportDelayMs?: number
  /** How often publications and lag are checked. Default 5,000. */
  readonly checkIntervalMs?: number
  /** How often the source tries to advance the slot that holds the window. Default 10,000. */
  readonly advanceIntervalMs?: number
  /** Changes that are handed over at a time, at most. Default 256. */
  readonly maxBatchChanges?: number
}

/**
 * Row changes out of Postgres, for as long as it is open: it connects again by itself after whatever happens, goes on
 * exactly where it was, and says so when that is not possible.
 */
export interface ChangeSource {
  /** `null` until the first connection. */
  readonly epoch: string | null
  /** Names the log that its positions are in; `null` until the first connection. */
  readonly log: string | null
  readonly status: ChangeSourceStatus
  /** Everything before this has been handed over. */
  readonly receivedLsn: Lsn
  /** Everything before this is confirmed: Postgres may forget it. */
  readonly confirmedLsn: Lsn
  /** How far the server had written when this source first connected: what comes before was read to fill the window. 0 in another log. */
  readonly liveFrom: Lsn
  /** Other nodes that read the same window, seen every few seconds. */
  readonly peers: readonly string[]
  /** End of the server's log, read every few seconds. */
  readonly serverLsn: Lsn
  /** Everything up to here, an `lsn` of `onProgress`, need not be sent again. Of another epoch it is ignored. */
  confirm(epoch: string, lsn: Lsn): void
  /** Hands out nothing until `resume`, save for what is at hand. The connection stays. */
  pause(): void
  resume(): void
  /** Ends the feed. The anchor stays. */
  close(): Promise<void>
}
