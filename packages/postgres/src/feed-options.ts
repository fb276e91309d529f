import type { FeedListener } from './deliver/fault-report.ts'
import type { ChangeSource } from './replication/source/change-source-api.ts'
import type { RingLimits } from './subscribe/resume/change-ring.ts'

/** What the feed needs of the source of changes. */
export type FeedSource = Pick<ChangeSource, 'epoch' | 'confirmedLsn' | 'serverLsn' | 'peers' | 'status' | 'confirm' | 'pause' | 'resume'>

export interface FeedOptions extends FeedListener {
  /** What can be replayed. */
  readonly ring: RingLimits
  /** The write-ahead log that Postgres has to keep for it, at most. */
  readonly maxWalBytes: number
  /** How often channels that want positions get one without a change. */
  readonly positionIntervalMs: number
  /** How often publications, roles and policies are read again. */
  readonly refreshIntervalMs: number
  /** How long a channel that resumes waits for its turn, in all. */
  readonly resumeTimeoutMs: number
  /** Whether broadcasts and presence reach the other nodes of this database. */
  readonly hasRelay: boolean
  /** After how long without progress a part that has work counts as stuck. */
  readonly stuckAfterMs: number
}
