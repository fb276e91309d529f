import type { Lsn } from '../../replication/lsn.ts'
import { compareLogPositions, type LogPosition } from '../../replication/position.ts'
import { logPositionOf, tupleBytes } from '../../replication/change-row.ts'
import { Slabs } from '../../replication/pgoutput/slabs.ts'
import type { Tuple } from '../../replication/pgoutput/tuple.ts'
import type { Table } from '../../replication/table.ts'
import type { RowChange } from '../../replication/transaction-assembler.ts'

export interface RingLimits {
  readonly maxBytes: number
  readonly maxAgeMs: number
}

interface Kept {
  readonly change: RowChange
  readonly bytes: number
  readonly atMs: number
}

/** Bytes of an entry beside those of its tuples, as measured: its objects, an old row, and a transaction of its own. */
const ENTRY_BYTES = 450

/**
 * The changes of the last while, to be replayed. What falls out at the old end need not be sent again by Postgres
 * either, so that the write-ahead log and this hold the same window.
 */
export class ChangeRing {
  readonly #limits: RingLimits
  #kept: Kept[] = []
  readonly #memory = new Slabs()
  #from = 0
  #bytes = 0
  #start: LogPosition | null = null
  #last: LogPosition | null = null
  /** Tables that were written to, in each of their versions, with their last change. The longest ago comes first. */
  readonly #written = new Map<Table, LogPosition>()
  /** Tables, by oid, of which changes before a position may be missing. */
  readonly #gaps = new Map<number, Lsn>()

  constructor(limits: RingLimits) {
    this.#limits = limits
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#kept.length - this.#from
  }

  /** Everything after this is here, and transactions before it need not be sent again; `null` before the first epoch. */
  get start(): LogPosition | null {
    return this.#start
  }

  /** The position of the newest change, even when it is no longer here. */
  get last(): LogPosition | null {
    return this.#last
  }

  /** A new epoch: positions of what is here cannot be compared with those of what follows. */
  restart(start: LogPosition): void {
    this.#kept = []
    this.#from = 0
    this.#bytes = 0
    this.#start = start
    this.#last = null
    this.#written.clear()
    this.#gaps.clear()
  }

  /** Changes of these tables, by oid, may be missing before the position. */
  markGap(tables: readonly number[], before: Lsn): void {
    for (const oid of tables) if (before > (this.#gaps.get(oid) ?? 0n)) this.#gaps.set(oid, before)
  }

  hasGapAfter({ commitLsn }: LogPosition, oid: number): boolean {
    return commitLsn < (this.#gaps.get(oid) ?? 0n)
  }

  /** Tables that were written to after the position, as they were then. */
  *writtenAfter(position: LogPosition): Iterable<Table> {
    for (const [table, last] of this.#written) if (compareLogPositions(last, position) > 0) yield table
  }

  /** How far back it reaches: the age of the oldest change that is here; 0 without one. */
  spanMs(nowMs: number): number {
    const oldest = this.#kept[this.#from]
    return oldest === undefined ? 0 : nowMs - oldest.atMs
  }

  /** The tuples are copied, since their memory is shared with everything that was read along with them. */
  append(change: RowChange, nowMs: number): void {
    const bytes = ENTRY_BYTES + tupleBytes(change)
    this.#kept.push({ change: withTuples(change, (tuple) => tuple.detach(this.#memory)), bytes, atMs: nowMs })
    this.#bytes += bytes
    this.#last = logPositionOf(change)
    // TRUNCATE is not delivered.
    if (change.action === 'TRUNCATE') return
    this.#written.delete(change.table)
    this.#written.set(change.table, this.#last)
  }

  trim(nowMs: number): void {
    const from = this.#from
    while (this.#from < this.#kept.length) {
      const oldest = this.#kept[this.#from]!
      if (this.#bytes <= this.#limits.maxBytes && nowMs - oldest.atMs < this.#limits.maxAgeMs) break
      this.#from++
      this.#bytes -= oldest.bytes
      this.#start = logPositionOf(oldest.change)
    }
    if (this.#from > from) this.#forget(this.#start!)
    if (this.#from > 1_024 && this.#from * 8 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#from)
      this.#from = 0
    }
  }

  /** Forgets what lies before every position that is reached. */
  #forget(start: LogPosition): void {
    for (const [oid, before] of this.#gaps) if (before <= start.commitLsn) this.#gaps.delete(oid)
    for (const [table, last] of this.#written) {
      if (compareLogPositions(last, start) > 0) break
      this.#written.delete(table)
    }
  }

  reaches(position: LogPosition): boolean {
    return this.#start !== null && compareLogPositions(position, this.#start) >= 0
  }

  after(position: LogPosition, limit: number): readonly RowChange[] {
    let low = this.#from
    let high = this.#kept.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareLogPositions(logPositionOf(this.#kept[middle]!.change), position) <= 0) low = middle + 1
      else high = middle
    }
    // Tuples remember what was read of them. Readers get views, so that the kept tuples do not grow.
    return this.#kept.slice(low, low + limit).map(({ change }) => withTuples(change, (tuple) => tuple.view()))
  }
}

function withTuples(change: RowChange, made: (tuple: Tuple) => Tuple): RowChange {
  const { newTuple, old } = change
  return {
    ...change,
    newTuple: newTuple === null ? null : made(newTuple),
    old: old === null ? null : { extent: old.extent, tuple: made(old.tuple) },
  }
}
