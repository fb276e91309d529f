import type { Lsn } from './lsn.ts'
import type { RelationMessage } from './pgoutput/message.ts'
import type { ReplicationStatus } from './pgoutput/stream-message.ts'
import type { TableGap } from './published-relations.ts'
import type { ReplicationFault } from './replication-fault.ts'
import type { Table } from './table.ts'

export interface ReplicationReceiver {
  /** One message of the plugin, `buffer[start..end)`. */
  data(buffer: Buffer, start: number, end: number): void
  /** Everything before `end` has been sent. */
  keepalive(end: Lsn, replyRequested: boolean): void
  /** Everything that has arrived so far was handed out (or reading was paused). */
  drained(): void
  /** The stream is over; nothing else is called afterwards. */
  failed(fault: ReplicationFault): void
}

export interface ReplicationCheck {
  readonly serverLsn: Lsn
  readonly gaps: readonly TableGap[]
  /** Nodes that read copies of the same anchor, this one left out. */
  readonly peers: readonly string[]
}

/** The feed's two connections: the stream, and one for the catalog, which Postgres ends at once when it shuts down. */
export interface ReplicationSession {
  start(from: Lsn, receiver: ReplicationReceiver): void
  sendStatus(status: ReplicationStatus): void
  /** Nothing more is handed out after the message at hand, until `resume`. May be called from the receiver. */
  pause(): void
  resume(): void
  /** The table as the transaction `xid` left it, or later. Rejects with an error of `pg`. */
  loadTable(relation: RelationMessage, xid: number | null): Promise<Table>
  /** Rejects with an error of `pg`, or with an {@link ReplicationError} where the slot cannot be read on: see {@link faultOf}. */
  check(): Promise<ReplicationCheck>
  /** Lets Postgres forget what no node needs any more. Never rejects. */
  advanceAnchor(): Promise<void>
  /** Says goodbye and waits until the slot is free; in half a second at most. */
  close(): Promise<void>
  /** Drops both connections at once. Nothing is called afterwards. */
  destroy(): void
}

/**
 * How an epoch came about: its slot was `found`, or `created` where there was none, or made in place of one that was
 * `lost` (Postgres threw away WAL it needed) or useless because a publication was changed. `fell-behind`: the epoch is the
 * same, and the slot begins behind what was received.
 */
export type EpochReason = 'found' | 'created' | 'lost' | 'publication-changed' | 'fell-behind'

export interface SlotFacts {
  readonly epoch: string
  /** The database and its timeline: LSNs of another one say nothing here. */
  readonly log: string
  /** Where the timeline left the one before; 0 of the first. */
  readonly logBegin: Lsn
  readonly reason: EpochReason
  /** Where the slot begins: nothing before it can be read. */
  readonly confirmedLsn: Lsn
}

export interface Attached extends SlotFacts {
  readonly ok: true
  readonly session: ReplicationSession
  /** How far the server had written when the attempt began. */
  readonly begunLsn: Lsn
  /** The same when the publications were read. */
  readonly serverLsn: Lsn
  readonly gaps: readonly TableGap[]
}

export type AttachOutcome = Attached | { readonly ok: false; readonly fault: ReplicationFault }

export interface ReplicationPort {
  /** Connects, makes the publications and the slot where missing. Never rejects; aborted, it ends soon. */
  attach(replaceSlot: boolean, signal: AbortSignal): Promise<AttachOutcome>
}
