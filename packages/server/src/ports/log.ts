/** Where in the log of a database a message was committed. */
export interface MessageCommit {
  /** Names the log: positions in two logs, as before and after a failover, cannot be compared. */
  readonly log: string
  readonly lsn: bigint
  /** The lower 32 bits of the id of its transaction. */
  readonly xid: number
}

/** Where in the log a channel joins: messages that were committed before are not delivered to it live, however late the node reads them. */
export interface JoinPosition {
  /** The beginning of the name of its log, as far as the name is known. */
  readonly log: string
  readonly lsn: bigint
  /**
   * After a replay: whether the replay saw what this transaction committed. A commit stands in the log before others see it, so
   * that not all before `lsn` was seen.
   */
  readonly saw?: (xid: number) => boolean
}
