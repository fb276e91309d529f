import type { Lsn } from './lsn.ts'
import type { OldTuple, PgoutputMessage, RelationMessage, TimestampUs, TruncateMessage } from './pgoutput/message.ts'
import type { Tuple } from './pgoutput/tuple.ts'
import { compareLogPositions, type LogPosition } from './position.ts'
import type { Table } from './table.ts'

/** What the changes of one transaction have in common. */
export interface Transaction {
  readonly commitLsn: Lsn
  readonly commitTime: TimestampUs
  /** The lower 32 bits of the transaction id. */
  readonly xid: number
}

/** One row that was written, or one table that was emptied. Its position in the feed is `transaction.commitLsn`, `seq`. */
export interface RowChange {
  readonly action: 'INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE'
  readonly table: Table
  readonly transaction: Transaction
  /** Counts the changes of the transaction from 0. */
  readonly seq: number
  /** The row as it is now; of INSERT and UPDATE. */
  readonly newTuple: Tuple | null
  /** The row before: of DELETE, and of UPDATE when the key changed or the replica identity is full. */
  readonly old: OldTuple | null
}

export interface AssemblerHandlers {
  begin(): void
  change(change: RowChange): void
  commit(endLsn: Lsn): void
  /**
   * The table's shape is new: no further message may be given before `describe` was called. `xid` is the transaction
   * whose change follows; it may have made the table itself.
   */
  relation(relation: RelationMessage, xid: number | null): void
}

/**
 * Turns the messages of the stream into changes with their positions. Changes are handed on as they come, without waiting
 * for the end of the transaction: pgoutput sends only transactions that committed, and names the commit at their
 * beginning, so however large one is, nothing of it has to be kept.
 *
 * A new connection sends again what was not confirmed; changes whose position was handed on before are left out.
 */
export class TransactionAssembler {
  readonly #handlers: AssemblerHandlers
  readonly #tables = new Map<number, Table>()
  #transaction: Transaction | null = null
  #seq = 0
  #last: LogPosition | null = null

  constructor(handlers: AssemblerHandlers) {
    this.#handlers = handlers
  }

  /** A new connection: it describes its tables again, and no transaction is open. `newEpoch`: positions start over as well. */
  restart(newEpoch: boolean): void {
    this.#tables.clear()
    this.#transaction = null
    if (newEpoch) this.#last = null
  }

  describe(table: Table): void {
    this.#tables.set(table.oid, table)
  }

  /** `null`, or why the message cannot be where it is: then the stream has to be started again. */
  accept(message: PgoutputMessage): string | null {
    switch (message.kind) {
      case 'insert':
        return this.#change(message.relationOid, 'INSERT', message.newTuple, null)
      case 'update':
        return this.#change(message.relationOid, 'UPDATE', message.newTuple, message.old)
      case 'delete':
        return this.#change(message.relationOid, 'DELETE', null, message.old)
      case 'truncate':
        return this.#truncate(message)
      case 'begin':
        if (this.#transaction !== null) return 'a transaction begins inside another one'
        this.#transaction = { commitLsn: message.commitLsn, commitTime: message.commitTime, xid: message.xid }
        this.#seq = 0
        this.#handlers.begin()
        return null
      case 'commit':
        return this.#commit(message.commitLsn, message.endLsn)
      case 'relation':
        this.#handlers.relation(message, this.#transaction?.xid ?? null)
        return null
      case 'other':
        return null
    }
  }

  #change(relationOid: number, action: RowChange['action'], newTuple: Tuple | null, old: OldTuple | null): string | null {
    const transaction = this.#transaction
    const table = this.#tables.get(relationOid)
    if (transaction === null) return 'a change stands outside of a transaction'
    if (table === undefined) return `a change of relation ${relationOid} comes before its description`
    const seq = this.#seq++
    const position = { commitLsn: transaction.commitLsn, seq }
    if (this.#last !== null && compareLogPositions(position, this.#last) <= 0) return null
    this.#last = position
    this.#handlers.change({ action, table, transaction, seq, newTuple, old })
    return null
  }

  #truncate(message: TruncateMessage): string | null {
    for (const oid of message.relationOids) {
      const fault = this.#change(oid, 'TRUNCATE', null, null)
      if (fault !== null) return fault
    }
    return null
  }

  #commit(commitLsn: Lsn, endLsn: Lsn): string | null {
    if (this.#transaction?.commitLsn !== commitLsn) return 'a commit does not belong to the transaction before it'
    this.#transaction = null
    this.#handlers.commit(endLsn)
    return null
  }
}
