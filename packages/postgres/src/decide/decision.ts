import type { ColumnText } from '../replication/change-row.ts'
import type { RowChange } from '../replication/transaction-assembler.ts'
import type { PendingDelivery } from '../subscribe/audience.ts'
import type { PreparedFilter } from '../subscribe/prepared-filter.ts'
import type { RowChecks } from './feed-database.ts'

/**
 * What is sent of a change: its content, its key alone, or the row as Postgres has it now, which is written like the change.
 * The last two are marked as superseded, save for a DELETE's key.
 */
export type Content = 'image' | 'key' | RowChange

/** How much of a change an audience gets. */
export interface Granted {
  /** The row after the change. */
  readonly record: Content
  /** The row before the change: its replica identity, or its key alone. */
  readonly old: 'image' | 'key'
}

/** By row, the deliveries that get something of it. To all others it is refused. */
export type Decided = ReadonlyMap<RowChange, ReadonlyMap<PendingDelivery, Granted>>

/** A row that a filter is to be evaluated for, as the change wrote it or as it is now. */
export interface FilterQuestion {
  readonly delivery: PendingDelivery
  readonly row: RowChange
  readonly text: ColumnText
}

export interface DecisionFault {
  readonly kind: 'policy' | 'filter' | 'row'
  readonly message: string
  readonly timedOut: boolean
  /** Deliveries that could not be decided because of it, in whole or in part. */
  readonly deliveries: readonly PendingDelivery[]
}

export interface Decision {
  readonly decided: Decided
  /** Of the questions that Postgres had to answer: those whose row does not pass, with the filter that it fails. */
  readonly filtered: ReadonlyMap<FilterQuestion, PreparedFilter>
  readonly faults: readonly DecisionFault[]
  /** Deliveries that were decided, but slowly. */
  readonly slow: readonly PendingDelivery[]
}

export interface DecideOptions {
  readonly database: RowChecks
  /** Called when a question fails for a whole table. True: the table is loaded and asked about again. False: it counts as faulty. */
  readonly mayBeStale: (oid: number) => boolean
  /** Waits longer for transactions that are not visible yet, since nothing can be delivered before them. */
  readonly waits: boolean
}
