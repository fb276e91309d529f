import { MAX_LSN, type Lsn } from './lsn.ts'

/**
 * Where a change stands in the feed. Transactions are ordered by the LSN of their commit, changes of one transaction by
 * `seq`, from 0. Positions of different epochs cannot be compared: between two epochs changes may have been lost.
 */
export interface Position {
  readonly epoch: string
  readonly commitLsn: Lsn
  readonly seq: number
  /** Something before it was withheld from the client that it was sent to. */
  readonly isIncomplete: boolean
}

/** The position of a change inside its epoch. */
export type LogPosition = Pick<Position, 'commitLsn' | 'seq'>

const MAX_SEQ = 0xffff_ffff

/** `epoch/commitLsn/seq`, the LSN in hexadecimal: `3f09ac41d2e7/16b374d848/0`. An incomplete one ends with `!`. */
export function formatPosition({ epoch, commitLsn, seq, isIncomplete }: Position): string {
  return `${epoch}/${commitLsn.toString(16)}/${seq}${isIncomplete ? '!' : ''}`
}

/** Reads what clients send back, so anything may be in it. `null`: it is no position. */
export function parsePosition(text: string): Position | null {
  const parts = /^([0-9a-z]{1,32})\/([0-9a-f]{1,16})\/([0-9]{1,10})(!?)$/.exec(text)
  if (parts === null) return null
  const [, epoch, lsnText, seqText, mark] = parts as unknown as [string, string, string, string, string]
  const commitLsn = BigInt(`0x${lsnText}`)
  const seq = Number(seqText)
  return commitLsn > MAX_LSN || seq > MAX_SEQ ? null : { epoch, commitLsn, seq, isIncomplete: mark === '!' }
}

/** Negative when `one` comes first, 0 when they are the same position. */
export function compareLogPositions(one: LogPosition, other: LogPosition): number {
  if (one.commitLsn !== other.commitLsn) return one.commitLsn < other.commitLsn ? -1 : 1
  return one.seq - other.seq
}
