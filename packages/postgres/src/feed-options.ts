import type { FeedListener } from './deliver/fault-report.ts'
import type { ChangeSource } from './replication/source/change-source-api.ts'

export type FeedSource = Pick<ChangeSource, 'confirmedLsn' | 'serverLsn' | 'peers' | 'status' | 'confirm' | 'pause' | 'resume'>

/** How long changes are kept, and how often the feed does what nothing else causes. Bytes and milliseconds. */
export interface FeedTuning {
  /** How long changes can be replayed. Default 300,000. */
  readonly resumeWindowMs: number
  /** How many bytes of changes are kept for that. Default 64 MB. */
  readonly resumeWindowBytes: number
  /** The write-ahead log that Postgres keeps for it, at most. Default 256 MB. */
  readonly maxWalBytes: number
  /** How often channels that want positions get the feed's. Default 30,000. */
  readonly positionIntervalMs: number
  /** How often publications, roles and policies are looked at again. Default 30,000. */
  readonly refreshIntervalMs: number
  /** How long a channel that resumes may wait for its turn, in all. Default 60,000. */
  readonly resumeTimeoutMs: number
  /** After how long without progress a part of the feed that has work counts as stuck. Default 10,000. */
  readonly stuckAfterMs: number
  /** Whether broadcasts and presence reach the other nodes of this database. Default false: with other nodes, this one is degraded. */
  readonly hasRelay: boolean
}

export const DEFAULT_TUNING: FeedTuning = {
  resumeWindowMs: 300_000,
  resumeWindowBytes: 64 * 1024 * 1024,
  maxWalBytes: 256 * 1024 * 1024,
  positionIntervalMs: 30_000,
  refreshIntervalMs: 30_000,
  resumeTimeoutMs: 60_000,
  stuckAfterMs: 10_000,
  hasRelay: false,
}

export interface FeedOptions extends FeedTuning, FeedListener {}
