import type { JoinPosition, MessageCommit } from '../ports/log.ts'

/** Whether the message is too old for a channel: committed before the join, and seen by the replay if there was one. */
export function isBehind(position: JoinPosition | null, commit: MessageCommit | null): boolean {
  if (position === null || commit === null || !isBefore(commit, position)) return false
  return position.saw === undefined || position.saw(commit.xid)
}

/** Whether it was committed before the position, in the same log. A position may know only the beginning of the log's name. */
export function isBefore(commit: MessageCommit, position: JoinPosition): boolean {
  return commit.lsn < position.lsn && commit.log.startsWith(position.log)
}

/** The later one; of different logs, that of the newest join. */
export function latestOf(before: JoinPosition | null, joined: JoinPosition | null): JoinPosition | null {
  if (joined === null) return before
  return before !== null && before.log === joined.log && before.lsn > joined.lsn ? before : joined
}
