import type { Lsn } from '../lsn.ts'
import type { Tuple } from './tuple.ts'

/** Times of the feed: microseconds since 1970-01-01 UTC, as precise as Postgres keeps them. */
export type TimestampUs = bigint

export type ReplicaIdentity = 'default' | 'nothing' | 'full' | 'index'

export interface BeginMessage {
  readonly kind: 'begin'
  readonly commitLsn: Lsn
  readonly commitTime: TimestampUs
  readonly xid: number
}

export interface CommitMessage {
  readonly kind: 'commit'
  readonly commitLsn: Lsn
  readonly endLsn: Lsn
}

export interface RelationColumn {
  readonly name: string
  /** Part of the replica identity; all columns are when it is `full`. */
  readonly key: boolean
  readonly typeOid: number
}

/** The shape of the tuples that follow for this table, until the next one. */
export interface RelationMessage {
  readonly kind: 'relation'
  readonly oid: number
  readonly schema: string
  readonly table: string
  readonly replicaIdentity: ReplicaIdentity
  readonly columns: readonly RelationColumn[]
}

export interface InsertMessage {
  readonly kind: 'insert'
  readonly relationOid: number
  readonly newTuple: Tuple
}

/** The old values that were sent: those of the key (the other columns are null), or the whole row. */
export interface OldTuple {
  readonly extent: 'key' | 'full'
  readonly tuple: Tuple
}

export interface UpdateMessage {
  readonly kind: 'update'
  readonly relationOid: number
  /** Only sent when the key changed or the replica identity is `full`. */
  readonly old: OldTuple | null
  readonly newTuple: Tuple
}

export interface TruncateMessage {
  readonly kind: 'truncate'
  readonly relationOids: readonly number[]
}

/** What the plugin `pgoutput` writes in protocol version 1, to a stream that was started without its options. */
export type PgoutputMessage =
  | BeginMessage
  | CommitMessage
  | RelationMessage
  | InsertMessage
  | UpdateMessage
  | { readonly kind: 'delete'; readonly relationOid: number; readonly old: OldTuple }
  | TruncateMessage
  /** The origin of a transaction, or the name of a type: neither is needed. */
  | { readonly kind: 'other' }

/** Postgres counts microseconds from 2000-01-01: that instant, as a time of the feed. */
export const POSTGRES_EPOCH_US = 946_684_800_000_000n
