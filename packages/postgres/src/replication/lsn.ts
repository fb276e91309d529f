/** A position in the write-ahead log: bytes from its beginning, 64 bits. */
export type Lsn = bigint

export const MAX_LSN: Lsn = 0xffff_ffff_ffff_ffffn

/** The text that Postgres writes and reads: `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`
}

export function parseLsn(text: string | null): Lsn | null {
  const parts = /^([0-9a-f]{1,8})\/([0-9a-f]{1,8})$/i.exec(text ?? '')
  return parts === null ? null : (BigInt(`0x${parts[1]}`) << 32n) | BigInt(`0x${parts[2]}`)
}

/**
 * Names a log, in which LSNs can be compared. Every timeline is one of its own, and another cluster may have the same timeline.
 * Where the cluster is not known (`''`), the name is the beginning of the whole one.
 */
export function logName(timeline: number, cluster: string): string {
  return `${timeline}@${cluster}`
}

export function laterLsn(one: Lsn, other: Lsn): Lsn {
  return one > other ? one : other
}
